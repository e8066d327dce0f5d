#!/usr/bin/env bash
# What public scanners think of our TLS defaults. They take minutes, so this is a command and not a test.
#
#   tests/interop/scan.sh [PROGRAM]      PROGRAM: tls_echo_server, by default the one in build/release/examples
#
# Starts the example on a free loopback port with a certificate made for the occasion and runs sslscan and testssl.sh
# against it (Debian: sslscan, testssl.sh). Fails if testssl.sh finds anything above LOW that is the server's doing: a
# private authority, no revocation address and no known host are the doing of the certificate, which no user of ours gets.
# Everything that was printed stays in build/logs/scan.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=${1:-$root/build/release/examples/tls_echo_server}
logs=$root/build/logs/scan
server_pid=

cleanup() {
    if [ -n "$server_pid" ]; then
        kill "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
    fi
    rm -f "$logs/key.pem"
}

require() { # require <command> <Debian package>
    command -v "$1" >/dev/null || {
        echo "scan.sh: $1 is missing (Debian package $2)" >&2
        exit 2
    }
}

start_server() { # sets port
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$logs/key.pem" -out "$logs/certificate.pem" -days 90 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
    local line
    coproc SERVER { exec "$program" "$logs/certificate.pem" "$logs/key.pem" 127.0.0.1 0 2>"$logs/server.txt"; }
    # shellcheck disable=SC2153 # bash sets SERVER_PID for the coprocess
    server_pid=$SERVER_PID
    read -r -t 30 line <&"${SERVER[0]}" || {
        echo "scan.sh: $program did not start: $(cat "$logs/server.txt")" >&2
        exit 2
    }
    port=${line##*:}
}

# Prints the findings above LOW that count, from testssl.sh's JSON.
findings() {
    python3 - "$logs/testssl.json" <<'PYTHON'
import json
import sys

# What the certificate of the occasion is to blame for. testssl.sh 3.0 names its findings so.
CERTIFICATE = ("cert_", "OCSP_", "DNS_")

with open(sys.argv[1], encoding="utf-8") as file:
    rows = json.load(file)
if len(rows) < 50:
    sys.exit(f"testssl.sh tried only {len(rows)} things: it did not get through")
for row in rows:
    if row["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL") and not row["id"].startswith(CERTIFICATE):
        print(f"{row['severity']}: {row['id']}: {row['finding']}")
PYTHON
}

main() {
    require sslscan sslscan
    require openssl openssl
    local testssl found
    testssl=$(command -v testssl || command -v testssl.sh) || require testssl testssl.sh
    mkdir -p "$logs"
    rm -f "$logs"/*
    trap cleanup EXIT
    start_server

    echo "=== sslscan"
    timeout 120 sslscan --no-colour --no-failed "127.0.0.1:$port" </dev/null | tee "$logs/sslscan.txt"
    if grep -qE '^(SSLv[23]|TLSv1\.[01]) +enabled' "$logs/sslscan.txt"; then
        echo "scan.sh: sslscan found an old version enabled" >&2
        exit 1
    fi

    echo "=== testssl.sh"
    # Its exit code counts findings; what they are is judged below.
    timeout 900 "$testssl" --quiet --color 0 --warnings off --ip one --nodns min --jsonfile "$logs/testssl.json" "localhost:$port" \
        </dev/null | tee "$logs/testssl.txt" || true
    kill -0 "$server_pid" || {
        echo "scan.sh: the server did not survive: $(cat "$logs/server.txt")" >&2
        exit 1
    }
    found=$(findings)
    if [ -n "$found" ]; then
        printf 'scan.sh: above LOW:\n%s\n' "$found" >&2
        exit 1
    fi
    echo "nothing above LOW"
}

main
