#!/bin/sh
# tools/fresh.sh [VERB ...] | -- COMMAND ...: run the committed state inside a bare
# Debian 12, so that nothing which this machine happens to have is taken for granted.
#
# The bare system is unpacked once by debootstrap and copied for each run. A run has
# its own mount, process and host name spaces: whatever happens, its mounts and its
# processes end with it, and its folder is removed. The network is the machine's.
set -eu
PATH=$PATH:/usr/sbin:/sbin
suite=bookworm
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
stop() {
    say "$@"
    exit 1
}
seconds() { date +%s; }

# Debian's own sources as this machine has them: mirror, suite, components.
sources() {
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' |
        awk -v suite=$suite '
            $1 == "Debian" && $3 ~ "^" suite && $4 == "main" {
                print "deb", $2, $3, $4
            }' | sort -u
}

# What apt and pip of this machine need to reach their servers.
network_settings() {
    apt-config dump Acquire | grep -E 'Proxy|::Check-(Date|Valid-Until)' || true
    echo "Acquire::https::CAInfo \"$ca\";"
}

unpack() { # the bare system, once per mirror
    [ ! -d "$base" ] || return 0
    say "Unpacking a bare Debian ($suite) into $base (about two minutes) ..."
    mkdir -p "$cache"
    rm -rf "$base.part"
    debootstrap --variant=minbase $suite "$base.part" "$mirror" >"$cache/debootstrap.log" 2>&1 ||
        stop "debootstrap failed, see $cache/debootstrap.log. Is the mirror reachable?"
    rm -f "$base.part"/var/cache/apt/archives/*.deb
    mv "$base.part" "$base"
}

fill() { # this machine's way to the network, and the project without its history
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    printf '127.0.0.1 localhost\n127.0.1.1 fresh\n::1 localhost\n' >"$root/etc/hosts"
    sources >"$root/etc/apt/sources.list"
    network_settings >"$root/etc/apt/apt.conf.d/90machine"
    [ ! -e /etc/ssl/certs/ca-certificates.crt ] ||
        cp -L /etc/ssl/certs/ca-certificates.crt "$root$ca"
    mkdir -p "$root$home"
    git archive HEAD | tar -x -C "$root$home"
    [ -z "$(git status --porcelain)" ] ||
        say "(What is not committed stays outside.)"
}

enter() { # make the bare system the root of this mount name space: no way back
    mount --bind "$1" "$1"
    cd "$1"
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    mount -t tmpfs -o mode=755 tmpfs run
    pivot_root . mnt
    cd /
    umount -l /mnt
}

inside() { # inside COMMAND ...: in the project's folder, with a bare environment
    env -i HOME=/root TERM="${TERM:-dumb}" USER=root \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        PIP_CERT="$ca" ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
        ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
        /bin/sh -ec 'cd "$0" && exec "$@"' "$home" "$@"
}

timed() { # timed NAME COMMAND ...
    name=$1 began=$(seconds)
    shift
    say "== $name"
    "$@" || stop "== $name failed after $(($(seconds) - began)) s"
    report="$report
$(printf '%6d s  %s' $(($(seconds) - began)) "$name")"
}

run_inside() { # the body, in the private spaces: process 1 of them
    trap 'exit 130' INT HUP TERM
    hostname fresh
    enter "$1"
    shift
    if [ "${1:-}" = -- ]; then
        shift
        inside "$@"
        return
    fi
    [ $# -gt 0 ] || set -- demo test
    report= sets=base
    for verb in "$@"; do
        timed "./run $verb" inside "./run" "$verb"
        case $verb in check | fmt) ;; *) sets='base servers' ;; esac
    done
    began=$(seconds)
    # shellcheck disable=SC2086
    timed "set-up, second time" inside tools/setup.sh $sets
    [ $(($(seconds) - began)) -le 3 ] || stop "The set-up is not quick the second time."
    [ ! -e /usr/sbin/policy-rc.d ] || stop "The set-up left a policy-rc.d behind."
    say "== fresh: all well$report"
}

ca=/etc/machine-ca.crt # not where ca-certificates writes its own
home=/root/dirbridge
if [ "${1:-}" = --inside ]; then
    shift
    run_inside "$@"
    exit
fi

[ "$(id -u)" = 0 ] || stop "./run fresh needs root, for debootstrap and chroot. Run it as root."
git rev-parse -q --verify HEAD >/dev/null ||
    stop "./run fresh proves what is committed, and nothing is. Run it in a git clone."
mirror=$(sources | awk -v suite=$suite '$3 == suite { print $2; exit }')
[ -n "$mirror" ] ||
    stop "This machine's apt has no source of Debian $suite (main). Add one and run apt-get update."
cache=${XDG_CACHE_HOME:-/var/cache}/dirbridge-fresh
base=$cache/$suite-$(printf %s "$mirror" | sha256sum | cut -c 1-8)
unpack
root=$(mktemp -d "$cache/run.XXXXXX")
child=
clean_up() {
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
    wait
    rm -rf --one-file-system "$root"
}
trap clean_up EXIT
trap 'exit 130' INT HUP TERM
cp -a "$base/." "$root"
fill
# In the background, so that an interrupt is heard at once; standard input stays.
unshare --mount --propagation private --pid --fork --kill-child --uts --ipc \
    "$0" --inside "$root" "$@" <&0 &
child=$!
wait "$child" && status=0 || status=$?
child=
exit "$status"
