package proxmox

// generator turns the /etc/network/interfaces that pct writes into units of
// systemd-networkd below /run. They come before the image's own, which match
// all Ethernet interfaces. pct writes one stanza an address family:
//
//	iface eth0 inet static
//		address 192.0.2.5/24
//		gateway 192.0.2.1
//	iface eth0 inet6 auto
//
// A gateway outside of the network comes as "post-up ip route add" lines
// between marks, of which the gateway's address is the one that counts.
const generator = `#!/bin/sh
# Hands the addresses that Proxmox VE writes into /etc/network/interfaces to
# systemd-networkd.
in=${CLOUDY_INTERFACES:-/etc/network/interfaces}
out=${CLOUDY_NETWORKD:-/run/systemd/network}
[ -r "$in" ] || exit 0
mkdir -p "$out" || exit 0
dev= family= kind=
file() { # the unit of an interface, begun when it is asked for first
	unit=$out/10-interfaces-$dev.network
	case " $begun " in *" $dev "*) return ;; esac
	begun="$begun $dev"
	printf '[Match]\nName=%s\n\n[Link]\nRequiredForOnline=no\n\n[Network]\n' "$dev" >"$unit"
}
while read -r word a b c rest; do
	case $word in
	iface)
		dev=$a family=$b kind=$c
		[ "$dev" = lo ] && dev= && continue
		file
		case $family/$kind in
		inet/dhcp) echo 'DHCP=ipv4' >>"$unit" ;;
		inet6/dhcp) echo 'DHCP=ipv6' >>"$unit" ;;
		inet6/auto) echo 'IPv6AcceptRA=yes' >>"$unit" ;;
		esac
		;;
	address) [ -n "$dev" ] && echo "Address=$a" >>"$unit" ;;
	gateway) [ -n "$dev" ] && echo "Gateway=$a" >>"$unit" ;;
	post-up) # ip route add default via GATEWAY dev IFNAME
		set -- $rest
		[ -n "$dev" ] && [ "$a $b $c" = 'ip route add' ] && [ "$1 $2" = 'default via' ] && late="$late $dev/$3"
		;;
	esac
done <"$in"
for item in $late; do
	dev=${item%%/*}
	printf '\n[Route]\nGateway=%s\nGatewayOnLink=yes\n' "${item#*/}" >>"$out/10-interfaces-$dev.network"
done
exit 0
`
