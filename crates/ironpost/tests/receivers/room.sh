# A room for one receiver, in mount, network and process namespaces of its own: `room.sh ROOT ROOM`. ROOT is what was
# unpacked and stays as it is; what the receiver may change lies in ROOM and on a disk in memory, and is gone with them.
set -eu
root=$1 room=$2
ip link set lo up
# A root that is a mount of its own, as a system's is.
mount --bind "$root" "$root"
# Servers of the machine are not ours to talk to.
mount -t tmpfs -o mode=755 tmpfs /run
cp -a "$root/etc" "$root/var" "$room"
mkdir -p "$room/home" "$root/home" "$root/dev" "$root/proc" "$root/run" "$root/tmp"
for part in etc var home; do
    mount --bind "$room/$part" "$root/$part"
done
mount --rbind /dev "$root/dev"
mount --bind /proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/var/spool"
[ -e "$root/var/run" ] || ln -s /run "$root/var/run"

cd "$root/etc"
printf 'passwd: files\ngroup: files\nhosts: files\n' >nsswitch.conf
printf '127.0.0.1 localhost mail.example.test\n' >hosts
printf 'lookup file\n' >resolv.conf
printf 'root:x:0:0::/root:/bin/sh\n' >passwd
printf 'root:x:0:\nmail:x:8:\npostdrop:x:90:\n' >group
account() {
    printf '%s:x:%s:%s::%s:/bin/sh\n' "$1" "$2" "$2" "$3" >>passwd
    printf '%s:x:%s:\n' "$1" "$2" >>group
}
id=100
for name in postfix Debian-exim smmta smmsp opensmtpd opensmtpq dovecot dovenull; do
    id=$((id + 1))
    account "$name" "$id" /nonexistent
done
account nobody 65534 /nonexistent
# Whom the letters are for; everybody has a Maildir.
id=2000
while [ "$id" -lt 2050 ]; do
    name=u$((id - 2000))
    account "$name" "$id" "/home/$name"
    mkdir -p "../home/$name/Maildir/new" "../home/$name/Maildir/cur" "../home/$name/Maildir/tmp"
    chown -R "$id:$id" "../home/$name"
    id=$((id + 1))
done
