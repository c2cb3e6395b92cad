#!/usr/bin/env bash
# Checks the programs that come from the operating system: `stack/programs.sh run|test`.
# A missing one is installed from Debian's packages where that is possible (apt-get and root), else named.
set -euo pipefail

# program, Debian package, whether Vitrine cannot do without it
run="java openjdk-17-jre-headless needed
mvn maven needed
prometheus prometheus optional"
test="$run
amtool prometheus-alertmanager optional
node nodejs optional
chromium chromium optional"

updated=""
install_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    export DEBIAN_FRONTEND=noninteractive
    if [ -z "$updated" ]; then
        apt-get update -qq >/dev/null || return 1
        updated=yes
    fi
    echo "installing Debian's package $1"
    apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1 || return 1
    # Debian starts a server of its own on the very port that the stack uses.
    if [ -d /run/systemd/system ]; then
        systemctl disable --now "$1" >/dev/null 2>&1 || true
    fi
}

missing=0
while read -r program package need; do
    command -v "$program" >/dev/null && continue
    install_package "$package" && continue
    if [ "$need" = needed ]; then
        echo "$program is missing and could not be installed: install it (Debian: apt-get install $package) and try again" >&2
        missing=1
    else
        echo "$program is missing (Debian: apt-get install $package): what needs it is left out" >&2
    fi
done <<<"${!1}"
exit "$missing"
