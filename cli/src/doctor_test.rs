use super::*;

fn report() -> Report {
    Report::new(vec![
        Check::ok("kvm", "/dev/kvm opens"),
        Check::warning("swap", "swap is on", "swapoff --all"),
        Check::unknown("smt", "nobody says"),
    ])
}

#[test]
fn one_line_a_check_and_the_verdict() {
    assert_eq!(
        report().text(),
        "ok       kvm            /dev/kvm opens\n\
         warning  swap           swap is on; remedy: swapoff --all\n\
         unknown  smt            nobody says\n\
         bulkhead run --stage1=kvm can work on this host\n"
    );
}

#[test]
fn one_problem_decides() {
    let mut checks = report().checks;
    checks.push(Check::problem("kvm", "it is missing", "modprobe kvm"));
    let report = Report::new(checks);
    assert!(!report.usable);
    assert!(report.text().ends_with(
        "problem  kvm            it is missing; remedy: modprobe kvm\n\
         bulkhead run --stage1=kvm cannot work on this host\n"
    ));
}

#[test]
fn the_same_as_json() {
    let expected = serde_json::json!({
        "usable": true,
        "checks": [
            {"name": "kvm", "status": "ok", "finding": "/dev/kvm opens"},
            {"name": "swap", "status": "warning", "finding": "swap is on", "remedy": "swapoff --all"},
            {"name": "smt", "status": "unknown", "finding": "nobody says"}
        ]
    });
    assert_eq!(serde_json::to_value(report()).unwrap(), expected);
}
