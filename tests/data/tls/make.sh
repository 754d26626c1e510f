#!/bin/sh
# Makes the certificates of the tests' file host: a CA that only the tests trust, a certificate for the loopback's names
# and files.example, one for another name and one that has expired. The keys are public on purpose: they guard nothing.
# Valid from 2020 for more than a century, so that running the tests needs no openssl program. Run it again only to
# change the names.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

: > "$work/index.txt"
echo 01 > "$work/serial"
printf '%s\n' "[ca]" "default_ca=d" "[d]" "database=$work/index.txt" "serial=$work/serial" "new_certs_dir=$work" \
    "default_md=sha256" "policy=p" "unique_subject=no" "[p]" "commonName=supplied" > "$work/ca.cnf"

request() { # NAME SUBJECT: a key and what asks for its certificate
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"
    openssl req -new -key "$work/$1.key" -subj "/CN=$2" -out "$work/$1.csr"
}

sign() { # NAME END [openssl ca options]: through `ca`, since openssl 3.0 can set the dates nowhere else
    name=$1 end=$2
    shift 2
    openssl ca -batch -config "$work/ca.cnf" -keyfile "$work/ca.key" -in "$work/$name.csr" -notext \
        -startdate 20200101000000Z -enddate "$end" -extfile "$work/$name.ext" -out "$work/$name.pem" "$@"
}

certificate() { # NAME SUBJECT-ALTERNATIVE-NAMES END
    request "$1" "$1"
    printf '%s\n' "subjectAltName=$2" "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" \
        "extendedKeyUsage=serverAuth" "subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid" > "$work/$1.ext"
    sign "$1" "$3" -cert ca.pem
    cat "$work/$1.key" "$work/$1.pem" > "$1.pem"
}

request ca "webchat-soap tests"
printf '%s\n' "basicConstraints=critical,CA:TRUE" "keyUsage=critical,keyCertSign,cRLSign" "subjectKeyIdentifier=hash" \
    > "$work/ca.ext"
sign ca 21260101000000Z -selfsign
cp "$work/ca.pem" ca.pem

certificate host "DNS:localhost,DNS:files.example,IP:127.0.0.1,IP:::1" 21260101000000Z
certificate other "DNS:other.example" 21260101000000Z
certificate expired "DNS:localhost,IP:127.0.0.1" 20200201000000Z
