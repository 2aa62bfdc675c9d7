use super::*;

#[test]
fn processor_flags() {
    let cpuinfo =
        "processor\t: 0\nflags\t\t: fpu svm\nbugs\t: x\n\nprocessor\t: 1\nflags\t\t: fpu\n";
    assert_eq!(cpu_flags(cpuinfo), ["fpu", "svm"]);
    assert_eq!(cpu_flags("Features : fp asimd\n"), [""; 0]);
    assert_eq!(cpu_flags(""), [""; 0]);
}

#[test]
fn available_memory() {
    let meminfo = "MemTotal:       24000000 kB\nMemFree:  5 kB\nMemAvailable:   1234 kB\n";
    assert_eq!(memory_available(meminfo), Some(1234));
    assert_eq!(memory_available("MemTotal: 1 kB\n"), None);
    assert_eq!(memory_available("MemAvailable:\n"), None);
}

#[test]
fn the_nearest_directory_that_exists_is_judged() {
    let directory = tempfile::tempdir().unwrap();
    let facts = data_directory(&directory.path().join("a/b/c"));
    assert_eq!(facts.path, directory.path());
    assert!(facts.writable && facts.free.is_some());
}

#[test]
fn devices() {
    assert_eq!(device("/dev/null"), Device::Opens);
    assert_eq!(device("/dev/absent"), Device::Missing);
    assert!(matches!(device("/dev"), Device::Fails(_)));
}

#[test]
fn flaws_are_sorted_and_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("mds"), "Vulnerable\n").unwrap();
    fs::write(directory.path().join("l1tf"), "Not affected\n").unwrap();
    let list = vulnerabilities(directory.path().to_str().unwrap());
    let expected = [("l1tf", "Not affected"), ("mds", "Vulnerable")];
    assert_eq!(
        list,
        expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
    );
    assert_eq!(vulnerabilities("/absent"), []);
}
