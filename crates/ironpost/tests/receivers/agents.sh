# The room of a delivery agent, behind room.sh: `agents.sh ROOT ROOM PROGRAM`. The server runs in it.
set -eu
root=$1 room=$2 program=$3
mkdir -p "$room/etc/mail/smrsh" "$room/var/mail" "$root/run/courier/authdaemon"
cp "$program" "$room/home/ironpost"
chown root:mail "$room/var/mail"
chmod 2775 "$room/var/mail"
# The agent that sensible-mda finds first.
ln -s /usr/bin/procmail "$room/etc/mail/smrsh/procmail"
# Whom the tests write to has a mailbox; u3 has a Maildir.
for user in u1 u2 u4; do
    rm -r "$room/home/$user/Maildir"
    mkdir "$room/home/$user/mail"
    chown "200${user#u}:200${user#u}" "$room/home/$user/mail"
done
