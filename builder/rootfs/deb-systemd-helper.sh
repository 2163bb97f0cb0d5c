#!/bin/sh
# Stands for deb-systemd-helper(1) while packages are configured: see
# systemdhelper.go. What it does not know to be the plain case goes to the real
# program.
real=/run/cloudy-deb-systemd-helper
known=1 # the real program is one that all verbs below were compared with

[ -n "$DPKG_MAINTSCRIPT_PACKAGE" ] && [ -z "$DPKG_ROOT$_DEB_SYSTEMD_HELPER_DEBUG$_DEB_SYSTEMD_HELPER_PURGE" ] || exec "$real" "$@"
instance=system quiet= action= unit=
for a; do
	case $a in
	--quiet) quiet=1 ;;
	--system) instance=system ;;
	--user) instance=user ;;
	-*) exec "$real" "$@" ;;
	*)
		if [ -z "$action" ]; then action=$a
		elif [ -z "$unit" ]; then unit=$a
		else exec "$real" "$@"
		fi ;;
	esac
done
etc=/etc/systemd/$instance
state=/var/lib/systemd/deb-systemd-helper
[ $instance = user ] && state=/var/lib/systemd/deb-systemd-user-helper
file=$state-enabled/${unit##*/}.dsh-also

# closure UNIT ALREADY: the links that enabling the unit makes, one a line in
# $links, with those of the units in its Also=. It fails where the unit file is
# not plain.
closure() {
	local path line value wants also seen
	seen=$2 wants= also=
	for path in "$etc/$1" "/lib/systemd/$instance/$1" "/usr/lib/systemd/$instance/$1" ""; do
		[ -f "$path" ] && break
	done
	[ -n "$path" ] || return 1
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in
		WantedBy=* | RequiredBy=* | Alias=* | Also=*) ;;
		'#'* | ';'* | '['*) continue ;;
		*[Ww][Aa][Nn][Tt][Ee][Dd][Bb][Yy]=* | *[Rr][Ee][Qq][Uu][Ii][Rr][Ee][Dd][Bb][Yy]=* | *[Aa][Ll][Ii][Aa][Ss]=* | *[Aa][Ll][Ss][Oo]=* | *[Dd][Ee][Ff][Aa][Uu][Ll][Tt][Ii][Nn][Ss][Tt][Aa][Nn][Cc][Ee]=*)
			return 1 ;;
		*) continue ;;
		esac
		value=${line#*=}
		case $value in
		*[!A-Za-z0-9:_.@\ -]* | ' '*) return 1 ;;
		esac
		case $line in
		WantedBy=*) for value in $value; do wants="$wants $value.wants"; done ;;
		RequiredBy=*) for value in $value; do wants="$wants $value.requires"; done ;;
		Alias=*)
			case $value in *' '*) return 1 ;; esac
			[ -z "$value" ] || [ "$value" = "$1" ] || links="$links$etc/$value
" ;;
		Also=*)
			for value in $value; do
				case " $1 $seen " in *" $value "*) continue ;; esac
				seen="$seen $value"
				closure "$value" "$seen" || return 1
			done ;;
		esac
	done <"$path"
	for value in $wants; do
		links="$links$etc/$value/$1
"
	done
}

plain() { # can the state of this unit be written here?
	[ "$known" ] || return 1
	case $unit in '' | *[!A-Za-z0-9:_.-]*) return 1 ;; esac
	[ ! -L "$file" ] && [ "$(umask)" = 0022 ]
}

folder() { [ -d "$1" ] || mkdir -p "$1"; }

case $action in
unmask)
	[ -e "$etc/${unit##*/}" ] || [ -e /var/lib/systemd/deb-systemd-helper-masked ] || [ -e /var/lib/systemd/deb-systemd-user-helper-masked ] || exit 0 ;;
debian-installed)
	[ -f "$file" ]
	exit ;;
was-enabled)
	answer=enabled
	if [ -f "$file" ]; then
		while IFS= read -r link; do
			[ -L "$link" ] || answer=disabled
		done <"$file"
	fi
	[ -n "$quiet" ] || echo $answer >&2
	[ $answer = enabled ]
	exit ;;
update-state)
	links=
	if plain && closure "$unit" ""; then
		folder "${file%/*}" && printf %s "$links" >"$file"
		exit
	fi ;;
enable)
	links= scope=--system
	[ $instance = user ] && scope=--global
	# On the first installation systemctl decides what is enabled; the links
	# that could be are noted, and each of them as having been offered.
	if plain && [ -x /usr/bin/systemctl ] && [ ! -e "$file" ] &&
		systemctl --root=/ $scope --preset-mode=enable-only preset "$unit" && closure "$unit" ""; then
		noted=
		set -f
		IFS='
'
		for link in $links; do
			case "
$noted" in *"
$link
"*) ;; *) noted="$noted$link
" ;; esac
		done
		if [ -n "$noted" ]; then
			folder "${file%/*}" && printf %s "$noted" >"$file" || exit 1
		fi
		for link in $noted; do
			note=$state-enabled${link#"$etc"}
			[ -e "$note" ] && continue
			folder "${note%/*}" && : >>"$note" || exit 1
		done
		exit 0
	fi ;;
esac
exec "$real" "$@"
