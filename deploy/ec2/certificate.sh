#!/bin/sh
# certificate.sh: what certbot runs behind each renewal. nginx is given the new files without anyone being cut off.
set -eu
tls=${MACHINE_ROOT:-}/etc/stompgate/tls
umask 077
for file in fullchain.pem privkey.pem; do
	cp -L "$RENEWED_LINEAGE/$file" "$tls/$file.new"
	mv "$tls/$file.new" "$tls/$file"
done
systemctl reload nginx
