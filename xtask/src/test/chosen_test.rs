use super::*;

const ALL: [&str; 5] = [
    "bad_images::no_image",
    "exit::zero",
    "exit::one",
    "exit::two_in_a_machine",
    "stop::stops",
];

fn chosen(filter: &[&str], container: bool) -> Chosen {
    let options = Options {
        e2e: true,
        filter: filter.iter().map(|part| (*part).to_owned()).collect(),
        container,
        nested: false,
    };
    Chosen::of(&names(&ALL), &options)
}

fn names(tests: &[&str]) -> Vec<String> {
    tests.iter().map(|test| (*test).to_owned()).collect()
}

#[test]
fn everything_is_all_tests_over_machines_and_some_over_containers() {
    let everything = chosen(&[], false);
    assert_eq!(everything.over_machines, names(&ALL));
    assert_eq!(
        everything.over_containers,
        ["exit::zero", "exit::one", "stop::stops"]
    );
}

#[test]
fn a_filter_chooses_over_machines_unless_containers_are_asked_for() {
    let over_machines = chosen(&["exit::"], false);
    assert_eq!(over_machines.over_machines, names(&ALL[1..4]));
    assert!(over_machines.over_containers.is_empty());
    let over_containers = chosen(&["exit::"], true);
    assert!(over_containers.over_machines.is_empty());
    assert_eq!(over_containers.over_containers, names(&ALL[1..3]));
    assert!(chosen(&["nothing::"], false).is_empty());
}

#[test]
fn each_test_is_in_one_of_the_halves() {
    let everything = chosen(&[], false);
    let [first, second] = everything.clone().halves();
    let mut machines = [first.over_machines, second.over_machines].concat();
    let mut containers = [first.over_containers, second.over_containers].concat();
    machines.sort();
    containers.sort();
    let mut all = (everything.over_machines, everything.over_containers);
    all.0.sort();
    all.1.sort();
    assert_eq!((machines, containers), all);
}

#[test]
fn what_has_ended_over_one_stage1_is_still_run_over_the_other() {
    let ended = Ended {
        over_machines: ["exit::zero".to_owned()].into(),
        ..Ended::default()
    };
    let rest = chosen(&[], false).without(&ended);
    assert!(!rest.over_machines.contains(&"exit::zero".to_owned()));
    assert_eq!(rest.over_machines.len(), ALL.len() - 1);
    assert_eq!(
        rest.over_containers,
        ["exit::zero", "exit::one", "stop::stops"]
    );
}
