//! Programs that live on what a file system promises, on a volume of the host.

use std::path::Path;

use bulkhead_tests::images::database_oci;
use nix::sys::signal::{Signal, kill};

use crate::bulkhead::{Call, pod};
use crate::killed::process;

/// A shell script of the image with a directory of the host at `/data`.
fn on_volume(host: &Path, script: &str) -> Call {
    pod(&database_oci())
        .pod_flag(format!("--volume=v,kind=host,source={}", host.display()))
        .flag("--mount=volume=v,target=/data")
        .shell(script)
}

/// A script that a user of the image runs, with a server on the volume.
fn with_server(script: &str) -> String {
    format!(
        "set -e; export PATH=/usr/lib/postgresql/15/bin:$PATH PGHOST=/tmp PGDATABASE=postgres
        as() {{ setpriv --reuid=postgres --regid=postgres --init-groups \"$@\"; }}
        start() {{ as pg_ctl -D /data/db -o '-k /tmp -c jit=off -c listen_addresses=' -w -t 600 -l /tmp/log start >/dev/null || {{ cat /tmp/log; exit 1; }}; }}
        ask() {{ as psql -XAtc \"$1\"; }}
        {script}"
    )
}

/// What `pgbench` adds to an account it adds to a branch, a teller and a line of history, in one transaction.
const IS_CONSISTENT: &str = "select a = b and b = t and t = h from
    (select sum(abalance) a from pgbench_accounts) a, (select sum(bbalance) b from pgbench_branches) b,
    (select sum(tbalance) t from pgbench_tellers) t, (select coalesce(sum(delta), 0) h from pgbench_history) h";

#[test]
fn postgresql_loses_nothing_that_it_committed_when_its_machine_is_killed() {
    let host = tempfile::tempdir().unwrap();
    let work = with_server(
        "cp -a /var/lib/postgresql/db /data; start
        as pgbench -n -c 2 -T 3600 >/dev/null 2>&1 &
        count=0; until test $count -ge 100; do count=$(ask 'select count(*) from pgbench_history'); done
        echo committed $count; sleep 3600",
    );
    let running = on_volume(host.path(), &work).start().wait_for("committed");
    kill(process("vmm"), Signal::SIGKILL).unwrap();
    running.finish().says("killed");

    let check = with_server(&format!(
        "start; grep -c 'database system was not properly shut down' /tmp/log
        ask \"{IS_CONSISTENT}\"; ask 'select count(*) >= 100 from pgbench_history'
        ask 'create extension amcheck' >/dev/null; ask \"select bt_index_check(oid, true) from pg_class where relname = 'pgbench_accounts_pkey'\"
        as pg_ctl -D /data/db -m fast -w stop >/dev/null; as pg_checksums --check -D /data/db | grep -i 'bad checksums'"
    ));
    on_volume(host.path(), &check)
        .run()
        .exits(0)
        .prints("1\nt\nt\n\nBad checksums:  0\n");
}

#[test]
fn what_fio_writes_in_every_way_is_what_another_pod_reads() {
    let host = tempfile::tempdir().unwrap();
    let jobs = "fio --directory=/data --size=8m --bs=4k --rw=randwrite --verify=crc32c --verify_fatal=1 --randseed=7 \\
        --minimal --name=buffered --ioengine=psync --fsync=64 --name=direct --ioengine=psync --direct=1 --stonewall \\
        --name=mapped --ioengine=mmap --stonewall";
    on_volume(
        host.path(),
        &format!("{jobs} > /tmp/out || {{ cat /tmp/out; exit 1; }}"),
    )
    .run()
    .exits(0);
    on_volume(
        host.path(),
        &format!("ls /data; {jobs} --verify_only > /tmp/out || {{ cat /tmp/out; exit 1; }}"),
    )
    .run()
    .exits(0)
    .prints("buffered.0.0\ndirect.0.0\nmapped.0.0\n");
}
