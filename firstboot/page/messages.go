package page

// Words that stand in many places: English, Catalan, Spanish.
var (
	mSkip       = &words{"Skip to the content", "Ves al contingut", "Ir al contenido"}
	mMenu       = &words{"Menu", "Menú", "Menú"}
	mClose      = &words{"Close", "Tanca", "Cerrar"}
	mLanguage   = &words{"Language", "Llengua", "Idioma"}
	mFooter     = &words{"Node %s · Cloudy %s", "Node %s · Cloudy %s", "Nodo %s · Cloudy %s"}
	mThisNode   = &words{"This node", "Aquest node", "Este nodo"}
	mMesh       = &words{"Mesh", "Malla", "Malla"}
	mSettings   = &words{"Settings", "Configuració", "Configuración"}
	mOverview   = &words{"Overview", "Resum", "Resumen"}
	mStages     = &words{"First boot", "Primera arrencada", "Primer arranque"}
	mOwn        = &words{"Services here", "Serveis d’aquest node", "Servicios de este nodo"}
	mLogs       = &words{"Logs", "Registres", "Registros"}
	mMap        = &words{"Map", "Mapa", "Mapa"}
	mCatalogue  = &words{"Services in the cloud", "Serveis al núvol", "Servicios en la nube"}
	mMembers    = &words{"Members", "Membres", "Miembros"}
	mMember     = &words{"Member", "Membre", "Miembro"}
	mInvite     = &words{"Invite", "Convida", "Invitar"}
	mJoin       = &words{"Join", "Uneix-te", "Unirse"}
	mAccount    = &words{"Account", "Compte", "Cuenta"}
	mReset      = &words{"Reset", "Restableix", "Restablecer"}
	mDetails    = &words{"Details", "Detalls", "Detalles"}
	mNone       = &words{"None", "Cap", "Ninguna"}
	mUnknown    = &words{"unknown", "desconeguda", "desconocida"}
	mAll        = &words{"All", "Tots", "Todos"}
	mState      = &words{"State", "Estat", "Estado"}
	mAction     = &words{"Action", "Acció", "Acción"}
	mHost       = &words{"Host", "Node", "Nodo"}
	mAddress    = &words{"Address", "Adreça", "Dirección"}
	mPort       = &words{"Port", "Port", "Puerto"}
	mPortN      = &words{"port %d", "port %d", "puerto %d"}
	mService    = &words{"Service", "Servei", "Servicio"}
	mServices   = &words{"Services", "Serveis", "Servicios"}
	mServicesOf = &words{"services of %s", "serveis de %s", "servicios de %s"}
	mLatency    = &words{"Latency", "Latència", "Latencia"}
	mLinks      = &words{"Links", "Enllaços", "Enlaces"}
	mBackHome   = &words{"To the overview", "Ves al resum", "Ir al resumen"}
	mAdminOnly  = &words{"Only the administrator can change this.", "Només l’administrador ho pot canviar.", "Solo el administrador puede cambiarlo."}

	mDays    = plural{&words{"%d day", "%d dia", "%d día"}, &words{"%d days", "%d dies", "%d días"}}
	mHours   = &words{"%d h", "%d h", "%d h"}
	mMinutes = &words{"%d min", "%d min", "%d min"}
	mSeconds = &words{"%d s", "%d s", "%d s"}
	mIn      = &words{"in %s", "d’aquí a %s", "dentro de %s"}
	mAgo     = &words{"%s ago", "fa %s", "hace %s"}
	mSince   = &words{"for %s", "des de fa %s", "desde hace %s"}
	mOf      = &words{"%s of %s", "%s de %s", "%s de %s"}
	mAliveOf = &words{"%d of %d up", "%d de %d actius", "%d de %d activos"}
	mUpOf    = &words{"%d of %d services up", "%d de %d serveis actius", "%d de %d servicios activos"}
)

// What goes wrong with a request.
var (
	mRefusedTitle = &words{"That does not work", "Això no pot ser", "Eso no puede ser"}
	mNotFound     = &words{"There is nothing at this address.", "No hi ha res en aquesta adreça.", "No hay nada en esta dirección."}
	mBadForm      = &words{"The form was not understood. Go back and try again.", "No s’ha entès el formulari. Torna enrere i prova-ho de nou.", "No se ha entendido el formulario. Vuelve atrás e inténtalo de nuevo."}
	mForged       = &words{"This form comes from another page, or from a session that has ended. Open the page again and repeat it.", "Aquest formulari ve d’una altra pàgina o d’una sessió que ja s’ha acabat. Torna a obrir la pàgina i repeteix-ho.", "Este formulario viene de otra página o de una sesión que ya ha terminado. Vuelve a abrir la página y repítelo."}
	mFailedAct    = &words{"This did not work. The node says:", "No ha funcionat. El node diu:", "No ha funcionado. El nodo dice:"}
)

// The overview.
var (
	mInMesh        = &words{"In the mesh %s. %d of %d nodes are up.", "A la malla %s. Hi ha %d de %d nodes actius.", "En la malla %s. Hay %d de %d nodos activos."}
	mInMeshAlone   = &words{"In the mesh %s, alone so far.", "A la malla %s, de moment sol.", "En la malla %s, de momento solo."}
	mNoNetwork     = &words{"No network address yet. Is the cable plugged in?", "Encara no hi ha cap adreça de xarxa. Està endollat el cable?", "Todavía no hay ninguna dirección de red. ¿Está conectado el cable?"}
	mNoInvitation  = &words{"Not in a mesh yet: the node waits for an invitation.", "Encara no és a cap malla: el node espera una invitació.", "Todavía no está en ninguna malla: el nodo espera una invitación."}
	mAsked         = &words{"The invitation is taken. Somebody at the inviting node has to approve.", "S’ha acceptat la invitació. Algú del node que convida ho ha d’aprovar.", "Se ha aceptado la invitación. Alguien del nodo que invita lo tiene que aprobar."}
	mPutOut        = &words{"This node was put out of the mesh. Reset it, and join with a new invitation.", "Aquest node ha estat expulsat de la malla. Restableix-lo i uneix-lo amb una invitació nova.", "Este nodo ha sido expulsado de la malla. Restablécelo y únelo con una invitación nueva."}
	mJoinRefused   = &words{"The invitation was refused. Join with another one.", "La invitació ha estat refusada. Uneix-te amb una altra.", "La invitación ha sido rechazada. Únete con otra."}
	mStageStuck    = &words{"“%s” does not work yet. The node tries again by itself.", "«%s» encara no funciona. El node ho torna a provar tot sol.", "«%s» todavía no funciona. El nodo lo reintenta solo."}
	mStageWaits    = &words{"“%s” is waiting.", "«%s» està en espera.", "«%s» está en espera."}
	mOnItsWay      = &words{"On its way: %s.", "En camí: %s.", "En camino: %s."}
	mCloned        = &words{"This system was copied from another node. It has keys of its own now, and needs an invitation of its own.", "Aquest sistema és una còpia d’un altre node. Ara té claus pròpies i necessita una invitació pròpia.", "Este sistema es una copia de otro nodo. Ahora tiene claves propias y necesita una invitación propia."}
	mDoubled       = &words{"Another machine has, or lately had, this node’s keys. If its card was copied, one of the two takes new keys by itself and must be invited anew.", "Una altra màquina té, o ha tingut fa poc, les claus d’aquest node. Si se n’ha copiat la targeta, un dels dos pren claus noves tot sol i s’ha de tornar a convidar.", "Otra máquina tiene, o ha tenido hace poco, las claves de este nodo. Si se ha copiado su tarjeta, uno de los dos toma claves nuevas por sí solo y hay que invitarlo de nuevo."}
	mJoinNow       = &words{"Join a mesh", "Uneix-te a una malla", "Unirse a una malla"}
	mAddresses     = &words{"Addresses", "Adreces", "Direcciones"}
	mAddress4      = &words{"IPv4 in the mesh", "IPv4 a la malla", "IPv4 en la malla"}
	mAddress6      = &words{"IPv6 in the mesh", "IPv6 a la malla", "IPv6 en la malla"}
	mOutside       = &words{"Outside of the mesh", "Fora de la malla", "Fuera de la malla"}
	mNodeName      = &words{"Name in the mesh", "Nom a la malla", "Nombre en la malla"}
	mMachine       = &words{"Machine", "Màquina", "Máquina"}
	mModel         = &words{"Model", "Model", "Modelo"}
	mUptime        = &words{"Up for", "En marxa des de fa", "En marcha desde hace"}
	mLoad          = &words{"Load", "Càrrega", "Carga"}
	mMemory        = &words{"Memory", "Memòria", "Memoria"}
	mDisk          = &words{"Disk", "Disc", "Disco"}
	mNetwork       = &words{"Network", "Xarxa", "Red"}
	mNotInMesh     = &words{"Not in a mesh yet", "Encara no és a cap malla", "Todavía no está en ninguna malla"}
	mNotInMeshWhat = &words{"With an invitation from a member this node joins, and everything here fills up.", "Amb la invitació d’un membre, aquest node s’hi uneix i tot això s’omple.", "Con la invitación de un miembro, este nodo se une y todo esto se llena."}
	mQualityGood   = &words{"good", "bona", "buena"}
	mQualityFair   = &words{"fair", "acceptable", "aceptable"}
	mQualityPoor   = &words{"slow", "lenta", "lenta"}
)

// The stages.
var (
	mStagesLead        = &words{"What the node does from its first boot on until it is in the mesh, and keeps doing: each step is looked at again all the time, and repeated where it failed.", "El que fa el node des de la primera arrencada fins que és a la malla, i després: cada pas es revisa contínuament i es repeteix si ha fallat.", "Lo que hace el nodo desde el primer arranque hasta que está en la malla, y después: cada paso se revisa continuamente y se repite si ha fallado."}
	mStageIdentity     = &words{"Identity", "Identitat", "Identidad"}
	mStageIdentityWhat = &words{"Keys and names that no other node has.", "Claus i noms que no té cap altre node.", "Claves y nombres que no tiene ningún otro nodo."}
	mStageNetwork      = &words{"Network", "Xarxa", "Red"}
	mStageNetworkWhat  = &words{"An address in the network that the node is plugged into.", "Una adreça a la xarxa on està connectat el node.", "Una dirección en la red a la que está conectado el nodo."}
	mStageJoin         = &words{"Join", "Unió", "Unión"}
	mStageJoinWhat     = &words{"Membership in a mesh, by an invitation.", "L’ingrés en una malla, amb una invitació.", "El ingreso en una malla, con una invitación."}
	mStageMesh         = &words{"Mesh", "Malla", "Malla"}
	mStageMeshWhat     = &words{"Encrypted links to other members, and addresses of the mesh.", "Enllaços xifrats amb altres membres i adreces de la malla.", "Enlaces cifrados con otros miembros y direcciones de la malla."}
	mStageDiscover     = &words{"Discovery", "Descobriment", "Descubrimiento"}
	mStageDiscoverWhat = &words{"Hearing who is there and what they offer.", "Saber qui hi ha i què ofereix.", "Saber quién hay y qué ofrece."}
	mStageServices     = &words{"Services", "Serveis", "Servicios"}
	mStageServicesWhat = &words{"This node’s services are started, and answer.", "Els serveis d’aquest node estan engegats i responen.", "Los servicios de este nodo están en marcha y responden."}
	mStageAnnounce     = &words{"Announcement", "Anunci", "Anuncio"}
	mStageAnnounceWhat = &words{"All others are told of what answers here.", "Tots els altres saben què respon aquí.", "Todos los demás saben qué responde aquí."}

	mStatePending = &words{"not yet", "encara no", "todavía no"}
	mStateRunning = &words{"running", "en curs", "en curso"}
	mStateDone    = &words{"done", "fet", "hecho"}
	mStateWaiting = &words{"waiting", "en espera", "en espera"}
	mStateFailed  = &words{"failed", "ha fallat", "ha fallado"}
	mStateRefused = &words{"refused", "refusat", "rechazado"}

	mAttempts   = &words{"Attempt %d; the next one in %s.", "Intent %d; el següent d’aquí a %s.", "Intento %d; el siguiente dentro de %s."}
	mAdmittedBy = &words{"Member of %s, admitted by %s", "Membre de %s, admès per %s", "Miembro de %s, admitido por %s"}
	mFounder    = &words{"Member of %s, as its root", "Membre de %s, com a arrel", "Miembro de %s, como raíz"}
	mLinksCount = plural{&words{"%d link of its own", "%d enllaç propi", "%d enlace propio"}, &words{"%d links of its own", "%d enllaços propis", "%d enlaces propios"}}
)

// The logs.
var (
	mLogsLead      = &words{"The newest line stands first; up to %d are shown.", "La línia més nova és la primera; se’n mostren fins a %d.", "La línea más nueva es la primera; se muestran hasta %d."}
	mLogOf         = &words{"Log of %s", "Registre de %s", "Registro de %s"}
	mLogEmpty      = &words{"Nothing here yet", "Encara no hi ha res", "Todavía no hay nada"}
	mLogEmptyWhat  = &words{"What is written from now on appears here.", "El que s’escrigui a partir d’ara apareixerà aquí.", "Lo que se escriba a partir de ahora aparecerá aquí."}
	mLogUnreadable = &words{"This log cannot be read here.", "Aquest registre no es pot llegir aquí.", "Este registro no se puede leer aquí."}
)
