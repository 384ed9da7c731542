#!/bin/sh
# tools/setup.sh SET ...: install the Debian packages of these sets (packages.txt)
# that are missing, then, with the set base, the Python packages in .venv.
#
# It is polite: it says what it installs before it does, never removes a package,
# starts no daemon, and puts back what it found. When nothing is missing it takes
# well under a second, writes nothing and needs no root.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin # dpkg looks there for its tools
policy=/usr/sbin/policy-rc.d
policy_mark='# Put here by dirbridge for one installation.'

say() { printf '%s\n' "$*" >&2; }
stop() {
    say "$@"
    exit 1
}
failed() { # failed OUTPUT SENTENCE ...
    say "$1"
    shift
    stop "$@"
}

packages_of() { # the package names of the sets named
    for set in "$@"; do
        awk -v want="[$set]" \
            '/^\[/ { on = ($1 == want) } on && /^[a-z0-9]/ { print $1 }' \
            tools/packages.txt
    done
}

missing_of() { # those of the packages named that are not wholly installed
    dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        awk -v want="$*" '
            $2 == "installed" { have[$1] = 1 }
            END {
                n = split(want, name, " ")
                for (i = 1; i <= n; i++)
                    if (!(name[i] in have)) printf "%s ", name[i]
            }'
}

# Debian's packages start their daemons when they are installed, unless
# policy-rc.d answers 101. One that was there before comes back; where a run was
# killed in between, the next one sees to it.
left_behind() {
    [ -e $policy.before-dirbridge ] || grep -qs "^$policy_mark" $policy
}

forbid_starts() {
    trap allow_starts EXIT
    trap 'exit 130' INT
    trap 'exit 143' HUP TERM
    [ ! -e $policy ] || mv $policy $policy.before-dirbridge
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >$policy
    chmod 755 $policy
}

allow_starts() {
    rm -f $policy
    [ ! -e $policy.before-dirbridge ] || mv $policy.before-dirbridge $policy
}

install() { # install PACKAGE ...: with Debian's own tools, asking nothing
    export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
    apt='apt-get -y -o DPkg::Lock::Timeout=300'
    out=$($apt update -qq </dev/null 2>&1) ||
        say "$out
apt-get update failed, see above; going on with the package lists at hand."
    out=$($apt -s install --no-install-recommends "$@" </dev/null 2>&1) ||
        failed "$out" "apt-get cannot install these packages, see above; nothing was" \
            "changed. Mend the package sources (Debian 12, main) and run it again."
    removed=$(printf '%s\n' "$out" | awk '/^Remv / { printf "%s ", $2 }')
    [ -z "$removed" ] || stop "Stopped, because this would remove ${removed% }." \
        "Nothing was changed. Use a machine or a container without ${removed% }," \
        "or remove what is in the way yourself: apt-get remove ${removed% }"
    # No questions and no mail set-up: the tests run Postfix from folders of their
    # own. A machine that has a mail set-up keeps it.
    [ -e /etc/postfix/main.cf ] ||
        echo 'postfix postfix/main_mailer_type select No configuration' |
        debconf-set-selections
    say "Installing them (a minute or two) ..."
    forbid_starts
    out=$($apt install --no-remove --no-install-recommends "$@" </dev/null 2>&1) ||
        failed "$out" "apt-get install failed, see above. Mend that and run it again."
    allow_starts
    trap - EXIT HUP INT TERM
    [ ! -d /run/systemd/system ] ||
        say "No server was started. Debian starts installed servers at the next boot:" \
            "'systemctl disable' those that this machine shall not run."
}

debian() { # debian SET ...
    # shellcheck disable=SC2046
    set -- $(packages_of "$@")
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        stop "This needs Debian 12 (apt). Elsewhere install what these packages" \
            "hold, see tools/packages.txt: $*"
    exec 8</var/lib/dpkg # one set-up at a time on this machine
    flock 8
    ! left_behind || [ "$(id -u)" != 0 ] || allow_starts
    missing=$(missing_of "$@")
    [ -n "$missing" ] || return 0
    say "This needs Debian packages that are not installed: ${missing% }."
    [ "$(id -u)" = 0 ] || stop "Installing them needs root. As root run:" \
        "apt-get install --no-remove --no-install-recommends ${missing% }"
    # shellcheck disable=SC2086
    install $missing
}

# The interpreter is the distribution's own: gssapi is compiled against it.
python() {
    stamp=.venv/set-up
    now=$(cat constraints.txt pyproject.toml | sha256sum)$PWD
    [ ! -x .venv/bin/python ] || [ ! -e $stamp ] ||
        [ "$(cat $stamp)" != "$now" ] || return 0
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        stop "dirbridge needs Python 3.11 or later. Use Debian 12 or later."
    say "Installing Python packages in .venv (a few minutes the first time) ..."
    rm -f $stamp
    # A .venv of another folder or of another Python is of no use: make it anew.
    .venv/bin/pip --version 2>/dev/null | grep -qF "$PWD/.venv/" ||
        /usr/bin/python3 -m venv --clear .venv
    # gssapi is the one that is compiled; so it takes a third less time.
    export CFLAGS="${CFLAGS--O1 -g0}"
    out=$(.venv/bin/python -m pip install -q --disable-pip-version-check \
        -c constraints.txt -e '.[postgresql,dev]' </dev/null 2>&1) ||
        failed "$out" "pip could not install the Python packages, see above. It needs" \
            "the network, or a package index named in pip's own configuration;" \
            "gssapi needs gcc, libkrb5-dev and python3-dev. Then run it again."
    printf %s "$now" >$stamp
}

debian "$@"
exec 8<&- 9<tools # one set-up at a time in this folder
flock 9
case " $* " in *' base '*) python ;; esac
