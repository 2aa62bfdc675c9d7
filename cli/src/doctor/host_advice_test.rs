use super::super::Status;
use super::*;

fn line(check: &Check) -> String {
    let remedy = check.remedy.as_deref().map(|remedy| format!("; {remedy}"));
    format!(
        "{} {}{}",
        check.status.word(),
        check.finding,
        remedy.unwrap_or_default()
    )
}

fn flaws(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn processor_flaws() {
    assert_eq!(mitigations(&[]).status, Status::Unknown);
    let good = flaws(&[
        ("meltdown", "Not affected"),
        ("mds", "Mitigation: Clear CPU buffers"),
    ]);
    assert_eq!(
        line(&mitigations(&good)),
        "ok the processor's known vulnerabilities are mitigated"
    );
    let bad = flaws(&[
        ("mds", "Vulnerable: no microcode"),
        ("srso", "Vulnerable"),
        ("l1tf", "Not affected"),
    ]);
    assert_eq!(
        line(&mitigations(&bad)),
        "warning a guest may read other memory by mds, srso; update microcode and kernel, and \
         boot without mitigations=off"
    );
}

#[test]
fn threads_that_share_a_core() {
    assert_eq!(line(&smt(Some("0"))), "ok no two threads share a core");
    assert_eq!(
        line(&smt(Some("1"))),
        "warning pods on two threads of one core can observe each other; boot with nosmt, or give \
         each tenant whole cores"
    );
    assert_eq!(smt(None).status, Status::Unknown);
}

#[test]
fn same_page_merging() {
    assert_eq!(
        line(&ksm(Some("1"))),
        "warning same-page merging lets pods observe each other's memory by timing; echo 2 > \
         /sys/kernel/mm/ksm/run"
    );
    for off in [Some("0"), Some("2"), None] {
        assert_eq!(ksm(off).status, Status::Ok);
    }
}

#[test]
fn swapping() {
    let head = "Filename\tType\tSize\tUsed\tPriority";
    assert_eq!(line(&swap(Some(head))), "ok swap is off");
    assert_eq!(line(&swap(None)), "ok the kernel has no swap");
    let two = format!("{head}\n/dev/sda2 partition 1 0 -2\n/swapfile file 1 0 -3");
    assert_eq!(
        line(&swap(Some(&two))),
        "warning guest memory can be written to /dev/sda2, /swapfile; swapoff --all, or encrypt \
         the swap"
    );
}

#[test]
fn shortage_of_memory() {
    let good = line(&memory_pressure(Some("some avg10=0.00")));
    assert_eq!(good, "ok pods hear of it when the host is short of memory");
    assert_eq!(
        line(&memory_pressure(None)),
        "warning pods do not hear of it when the host is short of memory; boot a kernel that has PSI with psi=1"
    );
}

#[test]
fn huge_pages_split_for_the_itlb_flaw() {
    let sound = flaws(&[("itlb_multihit", "Not affected")]);
    let flawed = flaws(&[("itlb_multihit", "KVM: Mitigation: VMX disabled")]);
    let check = |value, flaws: &[_]| line(&nx_huge_pages(value, flaws));
    assert_eq!(
        check(Some("Y"), &sound),
        "warning kvm splits huge pages for a flaw that this processor does not have; echo never > \
         /sys/module/kvm/parameters/nx_huge_pages"
    );
    assert_eq!(check(Some("N"), &sound), "ok kvm leaves huge pages whole");
    assert_eq!(
        check(Some("Y"), &flawed),
        "ok kvm splits huge pages, as it must here"
    );
    assert_eq!(
        check(Some("never"), &flawed),
        "warning a guest can hang this processor (iTLB multihit); echo auto > \
         /sys/module/kvm/parameters/nx_huge_pages"
    );
    assert_eq!(
        check(None, &sound),
        "unknown kvm is not loaded, or too old to say"
    );
}

#[test]
fn vms_in_vms() {
    for on in ["Y", "1"] {
        assert_eq!(
            line(&nested(Some(on))),
            "warning other VMs of this host can run VMs: much more of KVM is open to them; load \
             kvm_intel or kvm_amd with nested=0 (pods never see VMX or SVM)"
        );
    }
    assert_eq!(line(&nested(Some("0"))), "ok guests cannot run VMs");
    assert_eq!(nested(None).status, Status::Unknown);
}

#[test]
fn huge_pages_of_guests() {
    let check = |text| line(&transparent_huge_pages(Some(text)));
    assert_eq!(
        check("always [madvise] never"),
        "ok transparent huge pages where they are asked for"
    );
    let remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
    assert_eq!(
        check("always madvise [never]"),
        format!("warning transparent huge pages are off: guests run slower; {remedy}")
    );
    assert_eq!(
        check("[always] madvise never"),
        format!(
            "warning transparent huge pages everywhere: an idle pod may hold more memory; {remedy}"
        )
    );
    assert_eq!(transparent_huge_pages(None).status, Status::Unknown);
}

#[test]
fn moves_between_cgroups() {
    let mounts = |options: &str| {
        format!("proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 {options} 0 0\n")
    };
    assert_eq!(
        line(&favordynmods(Some(&mounts("rw,nosuid,favordynmods")))),
        "ok moves between cgroups are quick"
    );
    assert_eq!(
        line(&favordynmods(Some(&mounts("rw,nosuid")))),
        "warning the start of a pod now and then waits 20 to 40 ms for a cgroup move; mount -o \
         remount,favordynmods /sys/fs/cgroup"
    );
    let hybrid = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0";
    assert_eq!(favordynmods(Some(hybrid)).status, Status::Unknown);
    assert_eq!(favordynmods(None).status, Status::Unknown);
}

#[test]
fn timers_of_guests() {
    assert_eq!(
        line(&timer_period(Some("200"))),
        "warning a guest's timer can interrupt the host every 200 µs; echo 1000 > \
         /sys/module/kvm/parameters/min_timer_period_us"
    );
    assert_eq!(
        line(&timer_period(Some("1000"))),
        "ok guests' timers wait at least 1000 µs"
    );
    assert_eq!(timer_period(None).status, Status::Unknown);
    assert_eq!(timer_period(Some("x")).status, Status::Unknown);
}

#[test]
fn advice_never_keeps_a_pod_from_running() {
    let worst = AdviceFacts {
        smt_active: Some("1".to_owned()),
        ksm_run: Some("1".to_owned()),
        swaps: Some("head\n/swap".to_owned()),
        memory_pressure: None,
        nx_huge_pages: Some("N".to_owned()),
        min_timer_period_us: Some("1".to_owned()),
        nested: Some("1".to_owned()),
        transparent_huge_pages: Some("[never]".to_owned()),
        mounts: Some("c /sys/fs/cgroup cgroup2 rw 0 0".to_owned()),
        vulnerabilities: flaws(&[("mds", "Vulnerable")]),
    };
    assert!(
        all(&worst)
            .iter()
            .all(|check| check.status == Status::Warning)
    );
    assert!(
        all(&AdviceFacts::default())
            .iter()
            .all(|check| check.status != Status::Problem)
    );
}
