package page

// The map.
var (
	mMapLead       = &words{"This node is in the middle; the members that it links to are around it, and behind them those that are reached through others.", "Aquest node és al mig; al voltant hi ha els membres amb qui enllaça i, darrere, els que s’assoleixen a través d’altres.", "Este nodo está en el centro; alrededor están los miembros con los que enlaza y, detrás, los que se alcanzan a través de otros."}
	mMapLabel      = &words{"Map of %d members and %d links", "Mapa de %d membres i %d enllaços", "Mapa de %d miembros y %d enlaces"}
	mLegend        = &words{"Legend", "Llegenda", "Leyenda"}
	mAlive         = &words{"up", "actiu", "activo"}
	mSilent        = &words{"silent", "en silenci", "en silencio"}
	mLegendGood    = &words{"below 50 ms", "menys de 50 ms", "menos de 50 ms"}
	mLegendFair    = &words{"below 150 ms", "menys de 150 ms", "menos de 150 ms"}
	mLegendPoor    = &words{"slower", "més lent", "más lento"}
	mLegendUnknown = &words{"latency unknown", "latència desconeguda", "latencia desconocida"}
	mLegendDown    = &words{"down", "caigut", "caído"}
	mLinkUp        = &words{"up", "actiu", "activo"}
	mLink          = &words{"Link", "Enllaç", "Enlace"}
	mLinksOwn      = &words{"Links of this node", "Enllaços d’aquest node", "Enlaces de este nodo"}
	mLinksOthers   = &words{"Links between the others", "Enllaços entre els altres", "Enlaces entre los demás"}
	mNoLinks       = &words{"No links yet", "Encara no hi ha enllaços", "Todavía no hay enlaces"}
	mNoLinksWhat   = &words{"As soon as a second node has joined, there is one.", "N’hi haurà quan s’hi uneixi un segon node.", "Los habrá cuando se una un segundo nodo."}
)

// The catalogue.
var (
	mCatalogueLead      = &words{"What the members of the mesh offer now. A service is listed while its node is up and the service answers there.", "El que ofereixen ara els membres de la malla. Un servei hi surt mentre el seu node és actiu i el servei hi respon.", "Lo que ofrecen ahora los miembros de la malla. Un servicio aparece mientras su nodo está activo y el servicio responde en él."}
	mTypes              = &words{"Types of service", "Tipus de servei", "Tipos de servicio"}
	mFilter             = &words{"Filter services", "Filtra els serveis", "Filtrar servicios"}
	mWords              = &words{"Search", "Cerca", "Buscar"}
	mQuality            = &words{"Quality", "Qualitat", "Calidad"}
	mAnyQuality         = &words{"Any", "Qualsevol", "Cualquiera"}
	mGoodOnly           = &words{"Good, below %d ms", "Bona, menys de %d ms", "Buena, menos de %d ms"}
	mFairOnly           = &words{"Fair, below %d ms", "Acceptable, menys de %d ms", "Aceptable, menos de %d ms"}
	mFilterDo           = &words{"Filter", "Filtra", "Filtrar"}
	mFilterNone         = &words{"Clear", "Neteja", "Limpiar"}
	mFoundCount         = plural{&words{"%d service", "%d servei", "%d servicio"}, &words{"%d services", "%d serveis", "%d servicios"}}
	mNothingOffered     = &words{"Nothing is offered yet", "Encara no s’ofereix res", "Todavía no se ofrece nada"}
	mNothingOfferedWhat = &words{"Turn on a service on this node, and every member sees it here.", "Activa un servei en aquest node i tots els membres el veuran aquí.", "Activa un servicio en este nodo y todos los miembros lo verán aquí."}
	mNothingFound       = &words{"No service like that", "Cap servei així", "Ningún servicio así"}
	mNothingFoundWhat   = &words{"Nothing of what is offered fits all that was asked for.", "Res del que s’ofereix compleix tot el que s’ha demanat.", "Nada de lo que se ofrece cumple todo lo que se ha pedido."}
	mShowAll            = &words{"Show all", "Mostra-ho tot", "Mostrar todo"}
	mOpen               = &words{"Open", "Obre", "Abrir"}
	mWatch              = &words{"Watch", "Mira-ho", "Ver"}
	mJoinGrid           = &words{"Join the grid with", "Uneix-te a la graella amb", "Únete a la red con"}
	mJoinVideo          = &words{"Join the stream", "Uneix-te a l’emissió", "Únete a la emisión"}
	mConnectDevice      = &words{"Connect to the device", "Connecta amb el dispositiu", "Conecta con el dispositivo"}
	mPages              = &words{"Pages", "Pàgines", "Páginas"}
	mPageOf             = &words{"Page %d of %d", "Pàgina %d de %d", "Página %d de %d"}
	mPrevious           = &words{"Previous", "Anterior", "Anterior"}
	mNext               = &words{"Next", "Següent", "Siguiente"}
)

// This node's services.
var (
	mOwnLead         = &words{"What this node can offer. What is on is started, watched, and announced to the mesh while it answers.", "El que aquest node pot oferir. El que està activat s’engega, es vigila i s’anuncia a la malla mentre respon.", "Lo que este nodo puede ofrecer. Lo que está activado se pone en marcha, se vigila y se anuncia en la malla mientras responde."}
	mNoServices      = &words{"No services here", "Aquí no hi ha cap servei", "Aquí no hay ningún servicio"}
	mNoServicesWhat  = &words{"This image brings none. What runs here all the same can be announced by hand.", "Aquesta imatge no en porta cap. El que hi funcioni igualment es pot anunciar a mà.", "Esta imagen no trae ninguno. Lo que funcione aquí de todos modos se puede anunciar a mano."}
	mOff             = &words{"off", "desactivat", "desactivado"}
	mStarting        = &words{"starting", "arrencant", "arrancando"}
	mUp              = &words{"up", "actiu", "activo"}
	mDown            = &words{"does not answer", "no respon", "no responde"}
	mTurnOn          = &words{"Turn on", "Activa", "Activar"}
	mTurnOff         = &words{"Turn off", "Desactiva", "Desactivar"}
	mTurnedOn        = &words{"%s is on.", "%s està activat.", "%s está activado."}
	mTurnedOff       = &words{"%s is off.", "%s està desactivat.", "%s está desactivado."}
	mPublish         = &words{"Announce something else", "Anuncia una altra cosa", "Anunciar otra cosa"}
	mPublishWhat     = &words{"For what runs here and is not in the list: every member then sees it among the services in the cloud.", "Per al que funciona aquí i no és a la llista: tots els membres ho veuran entre els serveis al núvol.", "Para lo que funciona aquí y no está en la lista: todos los miembros lo verán entre los servicios en la nube."}
	mServiceName     = &words{"Name", "Nom", "Nombre"}
	mServiceType     = &words{"Type", "Tipus", "Tipo"}
	mServiceTypeHint = &words{"As in DNS-SD: _http._tcp", "Com en DNS-SD: _http._tcp", "Como en DNS-SD: _http._tcp"}
	mPublishDo       = &words{"Announce", "Anuncia", "Anunciar"}
	mPublished       = &words{"%s is announced.", "S’ha anunciat %s.", "Se ha anunciado %s."}
	mUnpublish       = &words{"Take back", "Retira", "Retirar"}
	mUnpublished     = &words{"%s is announced no more.", "%s ja no s’anuncia.", "%s ya no se anuncia."}
	mBadPort         = &words{"A port is a number from 1 to 65535.", "Un port és un nombre de l’1 al 65535.", "Un puerto es un número del 1 al 65535."}
	mBadType         = &words{"A type looks like _http._tcp or _sip._udp.", "Un tipus és com _http._tcp o _sip._udp.", "Un tipo es como _http._tcp o _sip._udp."}
	mBadName         = &words{"The service needs a name.", "El servei necessita un nom.", "El servicio necesita un nombre."}
)

// Members.
var (
	mMembersLead      = &words{"Everybody who was admitted to the mesh and was not put out.", "Tothom qui ha estat admès a la malla i no n’ha estat expulsat.", "Todos los que han sido admitidos en la malla y no han sido expulsados."}
	mAbout            = &words{"About", "Informació", "Información"}
	mNoSuchMember     = &words{"No such member", "Aquest membre no existeix", "Ese miembro no existe"}
	mNoSuchMemberWhat = &words{"It left, was put out, or was never known here.", "Se n’ha anat, ha estat expulsat o aquí no s’ha conegut mai.", "Se ha ido, ha sido expulsado o nunca se ha conocido aquí."}
	mBehindNAT        = &words{"None: it is behind a NAT", "Cap: és darrere d’un NAT", "Ninguna: está detrás de un NAT"}
	mRole             = &words{"Role", "Rol", "Rol"}
	mRoleNode         = &words{"member", "membre", "miembro"}
	mRoleInviter      = &words{"may invite", "pot convidar", "puede invitar"}
	mRoleRoot         = &words{"root of the mesh", "arrel de la malla", "raíz de la malla"}
	mAdmitted         = &words{"Admitted by", "Admès per", "Admitido por"}
	mVersion          = &words{"Version", "Versió", "Versión"}
	mRevoke           = &words{"Put out of the mesh", "Expulsa de la malla", "Expulsar de la malla"}
	mRevokeWhat       = &words{"All members cut it off at once, and it never comes back under this name. Those who admitted it may do that, up to the root, and two roots together.", "Tots els membres el desconnecten immediatament i no tornarà mai amb aquest nom. Ho poden fer els qui la van admetre, fins a l’arrel, o dues arrels juntes.", "Todos los miembros lo desconectan de inmediato y nunca volverá con este nombre. Lo pueden hacer quienes lo admitieron, hasta la raíz, o dos raíces juntas."}
	mReason           = &words{"Reason, for people", "Motiu, per a les persones", "Motivo, para las personas"}
	mSubtree          = &words{"And everybody whom it admitted", "I tots els que va admetre", "Y todos los que admitió"}
	mSure             = &words{"Yes, for good", "Sí, per sempre", "Sí, para siempre"}
	mTickSure         = &words{"Tick the box to say that you are sure.", "Marca la casella per confirmar-ho.", "Marca la casilla para confirmarlo."}
	mRevokeDo         = &words{"Put out", "Expulsa", "Expulsar"}
	mRevoked          = &words{"%s was put out of the mesh.", "%s ha estat expulsat de la malla.", "%s ha sido expulsado de la malla."}
)

// Inviting and joining.
var (
	mInviteLead       = &words{"A new node joins with an invitation: a code to scan or a line of text. Whoever has it can use it.", "Un node nou s’uneix amb una invitació: un codi per escanejar o una línia de text. Qui la té la pot fer servir.", "Un nodo nuevo se une con una invitación: un código para escanear o una línea de texto. Quien la tiene la puede usar."}
	mMayNotInvite     = &words{"This node may not invite", "Aquest node no pot convidar", "Este nodo no puede invitar"}
	mMayNotInviteWhat = &words{"It was admitted as a plain member. Ask somebody whose node may.", "Va ser admès com a simple membre. Demana-ho a algú que tingui un node que pugui.", "Fue admitido como simple miembro. Pídeselo a alguien cuyo nodo pueda."}
	mInviteNew        = &words{"New invitation", "Invitació nova", "Invitación nueva"}
	mInviteDo         = &words{"Make an invitation", "Crea una invitació", "Crear una invitación"}
	mGoodFor          = &words{"Good for", "Vàlida durant", "Válida durante"}
	mUses             = &words{"Nodes", "Nodes", "Nodos"}
	mUsesHint         = &words{"How many nodes it admits.", "Quants nodes admet.", "Cuántos nodos admite."}
	mBadUses          = &words{"An invitation admits 1 to 10000 nodes.", "Una invitació admet d’1 a 10000 nodes.", "Una invitación admite de 1 a 10000 nodos."}
	mMayInviteToo     = &words{"Who joins with it may invite others", "Qui s’hi uneixi podrà convidar-ne d’altres", "Quien se una con ella podrá invitar a otros"}
	mApproveFirst     = &words{"Each node waits until it is approved here", "Cada node espera que s’aprovi aquí", "Cada nodo espera a que se apruebe aquí"}
	mApplicants       = &words{"Waiting to be let in", "Esperen que els deixin entrar", "Esperan que los dejen entrar"}
	mApplicantsWhat   = &words{"Compare the name with the one on the new node’s page before you approve it.", "Abans d’aprovar-lo, compara el nom amb el de la pàgina del node nou.", "Antes de aprobarlo, compara el nombre con el de la página del nodo nuevo."}
	mSinceWhen        = &words{"Asked", "Ho va demanar", "Lo pidió"}
	mApprove          = &words{"Approve", "Aprova", "Aprobar"}
	mDeny             = &words{"Keep out", "No el deixis entrar", "No dejarlo entrar"}
	mApproved         = &words{"Approved: the node comes in when it asks next.", "Aprovat: el node entrarà quan ho torni a demanar.", "Aprobado: el nodo entrará cuando vuelva a pedirlo."}
	mDenied           = &words{"The node stays outside.", "El node es queda fora.", "El nodo se queda fuera."}
	mInvitationReady  = &words{"The invitation", "La invitació", "La invitación"}
	mGoodNodes        = plural{&words{"Good for %d node,", "Vàlida per a %d node,", "Válida para %d nodo,"}, &words{"Good for %d nodes,", "Vàlida per a %d nodes,", "Válida para %d nodos,"}}
	mUntil            = &words{"ends", "s’acaba", "termina"}
	mQRLabel          = &words{"The invitation as a QR code", "La invitació en codi QR", "La invitación en código QR"}
	mTokenLabel       = &words{"The same as text", "El mateix en text", "Lo mismo en texto"}
	mTokenWhat        = &words{"Put it into the file cloudy.txt on the new card’s boot partition, or paste it into the page of the new node.", "Posa-la al fitxer cloudy.txt de la partició d’arrencada de la targeta nova, o enganxa-la a la pàgina del node nou.", "Ponla en el archivo cloudy.txt de la partición de arranque de la tarjeta nueva, o pégala en la página del nodo nuevo."}
	mTokenSecret      = &words{"It is shown only now. Treat it like a key.", "Només es mostra ara. Tracta-la com una clau.", "Solo se muestra ahora. Trátala como una llave."}
	mGivenOut         = &words{"Given out", "Invitacions donades", "Invitaciones dadas"}
	mNoInvitations    = &words{"None was given out here yet.", "Encara no se n’ha donat cap.", "Todavía no se ha dado ninguna."}
	mInvitation       = &words{"Invitation", "Invitació", "Invitación"}
	mUsed             = &words{"Used", "Usada", "Usada"}
	mUsedOf           = &words{"%d of %d", "%d de %d", "%d de %d"}
	mBy               = &words{"By", "Per", "Por"}
	mNobody           = &words{"nobody yet", "encara ningú", "todavía nadie"}
	mOpenState        = &words{"open", "oberta", "abierta"}
	mUsedUp           = &words{"used up", "exhaurida", "agotada"}
	mExpired          = &words{"expired", "caducada", "caducada"}
	mTakenBack        = &words{"taken back", "retirada", "retirada"}
	mTakeBack         = &words{"Take back", "Retira", "Retirar"}
	mCancelled        = &words{"The invitation is taken back. Who has joined with it stays.", "La invitació s’ha retirat. Qui s’hi ha unit s’hi queda.", "La invitación se ha retirado. Quien se ha unido con ella se queda."}

	mJoinLead          = &words{"Somebody whose node is in the mesh makes an invitation and gives it to you, as a line of text.", "Algú que té un node a la malla crea una invitació i te la dona, com una línia de text.", "Alguien que tiene un nodo en la malla crea una invitación y te la da, como una línea de texto."}
	mJoinWith          = &words{"Join with an invitation", "Uneix-te amb una invitació", "Unirse con una invitación"}
	mJoinHint          = &words{"It begins with “cloudy1.” Text around it does no harm.", "Comença amb «cloudy1.» El text del voltant no fa nosa.", "Empieza por «cloudy1.» El texto de alrededor no molesta."}
	mJoinDo            = &words{"Join", "Uneix-t’hi", "Unirse"}
	mNoInvitationThere = &words{"There is no whole invitation in this text. It begins with “cloudy1.” and is one long line.", "En aquest text no hi ha cap invitació sencera. Comença amb «cloudy1.» i és una línia llarga.", "En este texto no hay ninguna invitación entera. Empieza por «cloudy1.» y es una línea larga."}
	mAlreadyIn         = &words{"This node is in a mesh already", "Aquest node ja és en una malla", "Este nodo ya está en una malla"}
	mAlreadyInWhat     = &words{"To join another one, reset it first.", "Per unir-se a una altra, primer restableix-lo.", "Para unirse a otra, primero restablécelo."}
	mJoining           = &words{"The invitation is taken. Below you see how far the node is.", "S’ha rebut la invitació. A sota es veu fins on ha arribat el node.", "Se ha recibido la invitación. Abajo se ve hasta dónde ha llegado el nodo."}
)

// Accounts and reset.
var (
	mLogin           = &words{"Log in", "Inicia la sessió", "Iniciar sesión"}
	mLoginLead       = &words{"A node of a community network", "Un node d’una xarxa comunitària", "Un nodo de una red comunitaria"}
	mLoginDo         = &words{"Log in", "Entra", "Entrar"}
	mLogout          = &words{"Log out", "Surt", "Salir"}
	mLoggedInAs      = &words{"Logged in as %s", "Sessió de %s", "Sesión de %s"}
	mAccountName     = &words{"Account", "Compte", "Cuenta"}
	mAdminName       = &words{"admin: changes", "admin: fa canvis", "admin: hace cambios"}
	mGuestName       = &words{"guest: reads", "guest: només llegeix", "guest: solo lee"}
	mPassword        = &words{"Password", "Contrasenya", "Contraseña"}
	mPasswordWhere   = &words{"The first password stands on the node’s console; “cloudy-node password” tells it as well.", "La primera contrasenya surt a la consola del node; «cloudy-node password» també la diu.", "La primera contraseña aparece en la consola del nodo; «cloudy-node password» también la dice."}
	mDemo            = &words{"This is a demonstration: guest has the password guest.", "Això és una demostració: guest té la contrasenya guest.", "Esto es una demostración: guest tiene la contraseña guest."}
	mWrongPassword   = &words{"Account or password is wrong.", "El compte o la contrasenya no són correctes.", "La cuenta o la contraseña no son correctas."}
	mTooMany         = &words{"Too many attempts. The next one is possible in %s.", "Massa intents. El següent serà possible d’aquí a %s.", "Demasiados intentos. El siguiente será posible dentro de %s."}
	mFingerprint     = &words{"Certificate, SHA-256:", "Certificat, SHA-256:", "Certificado, SHA-256:"}
	mCertificate     = &words{"Certificate", "Certificat", "Certificado"}
	mCertificateWhat = &words{"The node made its certificate itself, so a browser asks at the first visit whether to trust it. This is its SHA-256 fingerprint; “cloudy-node password” shows the same.", "El node s’ha fet ell mateix el certificat, i per això el navegador demana a la primera visita si hi pot confiar. Aquesta és la seva empremta SHA-256; «cloudy-node password» mostra la mateixa.", "El nodo se ha hecho él mismo el certificado, y por eso el navegador pregunta en la primera visita si puede confiar en él. Esta es su huella SHA-256; «cloudy-node password» muestra la misma."}
	mChangePassword  = &words{"Change the password", "Canvia la contrasenya", "Cambiar la contraseña"}
	mPasswordNow     = &words{"Current password", "Contrasenya actual", "Contraseña actual"}
	mPasswordNowHint = &words{"The administrator’s, also for the guest account.", "La de l’administrador, també per al compte guest.", "La del administrador, también para la cuenta guest."}
	mPasswordNew     = &words{"New password", "Contrasenya nova", "Contraseña nueva"}
	mPasswordNewHint = &words{"At least %d characters.", "Com a mínim %d caràcters.", "Como mínimo %d caracteres."}
	mPasswordAgain   = &words{"New password again", "Contrasenya nova un altre cop", "Contraseña nueva otra vez"}
	mPasswordShort   = &words{"The new password needs at least %d characters.", "La contrasenya nova ha de tenir com a mínim %d caràcters.", "La contraseña nueva debe tener como mínimo %d caracteres."}
	mPasswordLong    = &words{"The new password is too long.", "La contrasenya nova és massa llarga.", "La contraseña nueva es demasiado larga."}
	mPasswordsDiffer = &words{"The new passwords differ.", "Les contrasenyes noves no coincideixen.", "Las contraseñas nuevas no coinciden."}
	mPasswordChanged = &words{"The password is changed. Other sessions of that account have ended.", "S’ha canviat la contrasenya. Les altres sessions d’aquest compte s’han tancat.", "Se ha cambiado la contraseña. Las otras sesiones de esa cuenta se han cerrado."}

	mResetLead         = &words{"Takes things back, from the mildest to everything.", "Desfà coses, des del més lleu fins a tot.", "Deshace cosas, desde lo más leve hasta todo."}
	mResetHow          = &words{"How far", "Fins on", "Hasta dónde"}
	mResetMesh         = &words{"Leave the mesh", "Surt de la malla", "Salir de la malla"}
	mResetMeshWhat     = &words{"The node forgets the mesh and its members, and stays who it is. A new invitation brings it back.", "El node oblida la malla i els seus membres, i continua sent qui és. Una invitació nova l’hi torna.", "El nodo olvida la malla y sus miembros, y sigue siendo quien es. Una invitación nueva lo devuelve."}
	mResetServices     = &words{"Services as they were", "Serveis com eren", "Servicios como eran"}
	mResetServicesWhat = &words{"What was turned on, turned off or announced by hand is as the image had it.", "El que s’ha activat, desactivat o anunciat a mà torna a ser com era a la imatge.", "Lo que se ha activado, desactivado o anunciado a mano vuelve a ser como era en la imagen."}
	mResetIdentity     = &words{"Become another node", "Converteix-lo en un altre node", "Convertirlo en otro nodo"}
	mResetIdentityWhat = &words{"Leaves the mesh and gets new keys, a new name, new SSH host keys and new passwords of this page, which the console and “cloudy-node password” tell.", "Surt de la malla i rep claus noves, un nom nou, claus SSH noves i contrasenyes noves d’aquesta pàgina, que surten a la consola i amb «cloudy-node password».", "Sale de la malla y recibe claves nuevas, un nombre nuevo, claves SSH nuevas y contraseñas nuevas de esta página, que aparecen en la consola y con «cloudy-node password»."}
	mResetFactory      = &words{"As the image was", "Com era la imatge", "Como era la imagen"}
	mResetFactoryWhat  = &words{"All of that: what the node has become since its first boot is forgotten.", "Tot això: s’oblida tot el que el node ha esdevingut des de la primera arrencada.", "Todo eso: se olvida todo lo que el nodo ha llegado a ser desde el primer arranque."}
	mResetConfirm      = &words{"The node’s name", "El nom del node", "El nombre del nodo"}
	mResetConfirmHint  = &words{"To say that you are sure, type %s.", "Per confirmar-ho, escriu %s.", "Para confirmarlo, escribe %s."}
	mResetNotSure      = &words{"Nothing was reset: type %s to say that you are sure.", "No s’ha restablert res: escriu %s per confirmar-ho.", "No se ha restablecido nada: escribe %s para confirmarlo."}
	mResetDo           = &words{"Reset", "Restableix", "Restablecer"}
	mResetBegun        = &words{"The reset has begun.", "El restabliment ha començat.", "El restablecimiento ha empezado."}
)
