# sendmail, with rules of its own for this one domain; a shell puts the mail into the Maildir.
mkdir -p /etc/mail /var/spool/mqueue
cat >/etc/mail/deliver <<'END'
#!/bin/sh
exec cat >"/home/$1/Maildir/new/$$.$(date +%s%N)"
END
chmod 755 /etc/mail/deliver
cat >/etc/mail/sendmail.cf <<'END'
V10/Berkeley
Djmail.example.test
O QueueDirectory=/var/spool/mqueue
O DaemonPortOptions=Port=25,Addr=127.0.0.1
O DeliveryMode=background
O OperatorChars=.:%@!^/[]+
O Timeout.ident=0
O DontProbeInterfaces=True
O QueueLA=100000
O RefuseLA=100000
O DelayLA=0
O LogLevel=9
Troot
S3
R$*<$*>$*	$2
S0
R$-@example.test	$#local $: $1
R$*@$*	$#esmtp $@ $2 $: $1@$2
Mlocal, P=/etc/mail/deliver, F=lsDFMSw8n, U=root, A=deliver $u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
Mprog, P=/bin/sh, F=lsDFMoqeu9, A=sh -c $u
END
exec /usr/libexec/sendmail/sendmail -bD -q1m
