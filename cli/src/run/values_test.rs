use bulkhead_pod::manifest::AcIdentifier;

use super::*;

#[test]
fn memory() {
    assert_eq!("4096".parse::<MemoryLimit>().unwrap().0.units(), 4096);
    assert_eq!("16Mi".parse::<MemoryLimit>().unwrap().0.units(), 16 << 20);
    assert!(
        "4095.5".parse::<MemoryLimit>().is_ok(),
        "rounded up to a page"
    );
    for little in ["0", "16m", "4095", "4"] {
        assert!(little.parse::<MemoryLimit>().is_err(), "{little}");
    }
}

#[test]
fn seccomp() {
    let parse = |text: &str| text.parse::<Seccomp>().map_err(|error| error.to_string());
    let names = |filter: &Seccomp| -> Vec<String> {
        filter
            .filter
            .names()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let filter = parse("mode=remove,errno=EPERM,reboot,@docker/default-blacklist").unwrap();
    assert!(!filter.retain);
    assert_eq!(filter.filter.errno().unwrap().as_str(), "EPERM");
    assert_eq!(names(&filter), ["reboot", "@docker/default-blacklist"]);
    let filter = parse("read,write").unwrap();
    assert!(filter.retain && filter.filter.errno().is_none());
    assert_eq!(
        parse("mode=maybe,read").unwrap_err(),
        "mode \"maybe\" is neither retain nor remove"
    );
    for text in [
        "",
        "mode=retain",
        "errno=EPERM",
        "errno=1,read",
        "READ",
        "a=b",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn host_names() {
    for name in ["a", "A-1.example.com", &"x".repeat(64)] {
        assert_eq!(host_name(name).unwrap(), name);
    }
    for name in ["", "-a", "a-", "a..b", "a_b", "a b", &"x".repeat(65)] {
        assert!(host_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn pairs() {
    let pair: Pair<Text> = "a=b=c".parse().unwrap();
    assert_eq!((pair.name.as_str(), pair.value.as_str()), ("a", "b=c"));
    assert!("a".parse::<Pair<Text>>().is_err());
    assert!("A=b".parse::<Pair<AcIdentifier>>().is_err());
    let variable: Variable = "A=".parse().unwrap();
    assert_eq!((variable.name.as_str(), variable.value.as_str()), ("A", ""));
    assert!("=x".parse::<Variable>().is_err());
}

#[test]
fn numbers() {
    assert_eq!(cpu_shares("2").unwrap().value(), 2);
    assert_eq!(oom_score_adjust("-1000").unwrap().value(), -1000);
    assert_eq!(
        cpu_shares("1").unwrap_err().to_string(),
        "1 is outside 2..262144"
    );
    assert_eq!(
        oom_score_adjust("1001").unwrap_err().to_string(),
        "1001 is outside -1000..1000"
    );
    assert_eq!(
        oom_score_adjust("x").unwrap_err().to_string(),
        "\"x\" is not a number"
    );
}
