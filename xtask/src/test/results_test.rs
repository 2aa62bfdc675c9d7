use super::*;

#[test]
fn what_has_ended_is_read_and_a_line_that_was_cut_is_nobody_s() {
    let directory = tempfile::tempdir().unwrap();
    let results = Results::in_new(&directory.path().join("results")).unwrap();
    assert!(results.read().unwrap().over_machines.is_empty());
    fs::write(
        results.over_machines(),
        "ok exit::zero\nfailed exit::one\nok exit::tw",
    )
    .unwrap();
    fs::write(results.over_containers(), "ok exit::zero\nfai").unwrap();
    let ended = results.read().unwrap();
    assert!(ended.over_machines.contains("exit::zero"));
    assert!(!ended.over_machines.contains("exit::two"));
    assert_eq!(ended.over_containers.len(), 1);
    assert_eq!(ended.failed, ["exit::one"]);
}

#[test]
fn a_new_run_begins_without_the_results_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let results = Results::in_new(directory.path()).unwrap();
    fs::write(results.over_machines(), "ok exit::zero\n").unwrap();
    let results = Results::in_new(directory.path()).unwrap();
    assert!(results.read().unwrap().over_machines.is_empty());
}
