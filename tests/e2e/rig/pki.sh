#!/usr/bin/env bash
# Makes the throw-away certificates of the end-to-end tests in DIR (EC P-256).
#
#   authority            trusted by both sides             stranger            an authority that nobody trusts
#   server, client,
#   client-next          valid leaves of `authority`       *-expired           validity ended yesterday
#   server-other-name    valid, but for another host       *-stranger          leaves of `stranger`
#
# With a NAME and SECONDS as well: one more client, in a DIR that is there, whose validity ends so soon.
set -euo pipefail

dir=${1:?usage: pki.sh DIR [NAME SECONDS]}
mkdir -p "$dir"
cd "$dir"

stamp() { date -u -d "$1" +%Y%m%d%H%M%SZ; }

key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>>openssl.log
}

authority() { # NAME COMMON-NAME
  key "$1"
  openssl req -x509 -new -key "$1.key" -sha256 -days 30 -subj "/O=aws-to-devo tests/CN=$2" -out "$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>>openssl.log
  mkdir -p "$1.ledger"
  : >"$1.ledger/index"
  echo 01 >"$1.ledger/serial"
  cat >"$1.conf" <<CONF
[ca]
default_ca = it
[it]
database = $1.ledger/index
serial = $1.ledger/serial
new_certs_dir = $1.ledger
default_md = sha256
unique_subject = no
policy = any
[any]
organizationName = optional
commonName = supplied
CONF
}

leaf() { # NAME AUTHORITY serverAuth|clientAuth SUBJECT-ALT-NAMES FROM TO
  key "$1"
  openssl req -new -key "$1.key" -subj "/O=aws-to-devo tests/CN=$1" -out "$1.csr" 2>>openssl.log
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=%s\n' \
    "$3" "$4" >"$1.extensions"
  openssl ca -batch -notext -config "$2.conf" -cert "$2.crt" -keyfile "$2.key" -in "$1.csr" \
    -extfile "$1.extensions" -startdate "$(stamp "$5")" -enddate "$(stamp "$6")" -out "$1.crt" 2>>openssl.log
}

here=DNS:localhost,DNS:sink.test,IP:127.0.0.1
someone=DNS:some-domain

if [ $# = 3 ]; then
  leaf "$2" authority clientAuth "$someone" '-1 hour' "+$3 seconds"
  exit
fi

authority authority "tests' own"
authority stranger "nobody's"
leaf server            authority serverAuth "$here"            '-1 hour'  '+2 days'
leaf server-expired    authority serverAuth "$here"            '-30 days' '-1 day'
leaf server-other-name authority serverAuth DNS:other.example  '-1 hour'  '+2 days'
leaf server-stranger   stranger  serverAuth "$here"            '-1 hour'  '+2 days'
leaf client            authority clientAuth "$someone"         '-1 hour'  '+2 days'
leaf client-next       authority clientAuth "$someone"         '-1 hour'  '+2 days'
leaf client-expired    authority clientAuth "$someone"         '-30 days' '-1 day'
leaf client-stranger   stranger  clientAuth "$someone"         '-1 hour'  '+2 days'
