use proptest::prelude::*;

use super::*;

fn variables(texts: &[&str]) -> Vec<Variable> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn image(texts: &[&str]) -> Vec<EnvironmentVariable> {
    let variable = |v: Variable| EnvironmentVariable {
        name: v.name,
        value: v.value,
    };
    variables(texts).into_iter().map(variable).collect()
}

fn texts(environment: &[EnvironmentVariable]) -> Vec<String> {
    environment
        .iter()
        .map(|v| format!("{}={}", v.name, v.value))
        .collect()
}

#[test]
fn precedence() {
    let pod = PodEnvironment {
        inherited: variables(&["A=caller", "B=caller", "C=caller", "D=caller", "E=caller"]),
        file: variables(&["C=file", "D=file", "E=file"]),
        flags: variables(&["D=flag", "E=flag"]),
    };
    let merged = merge(
        &image(&["B=image", "E=image"]),
        &pod,
        &variables(&["E=app"]),
    )
    .unwrap();
    assert_eq!(
        texts(&merged),
        ["B=image", "E=app", "A=caller", "C=file", "D=flag"]
    );
}

#[test]
fn files() {
    let path = Path::new("env");
    let parse = |text: &str| parse_file(path, text).map_err(|error| error.to_string());
    let text = "\n# A=1\n;B=2\n  C=3\nD=\nE=a b=c\r\n";
    assert_eq!(parse(text).unwrap(), variables(&["C=3", "D=", "E=a b=c"]));
    assert_eq!(parse("A=1\nB").unwrap_err(), "env line 2");
    assert_eq!(
        parse("A=1\n\nA=2").unwrap_err(),
        "env line 3: \"A\" is set twice"
    );
}

#[test]
fn long_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("env");
    fs::File::create(&path)
        .unwrap()
        .set_len(FILE_BYTES_MAX + 1)
        .unwrap();
    let error = read_file(&path).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{} is longer than 1048576 bytes", path.display())
    );
}

#[test]
fn what_a_manifest_cannot_hold_is_not_inherited() {
    use std::os::unix::ffi::OsStringExt;
    let entry =
        |name: &str, value: &[u8]| (name.into(), std::ffi::OsString::from_vec(value.to_vec()));
    let entries = [entry("A", b"1"), entry("B%%", b"2"), entry("C", b"\xff")];
    assert_eq!(inherited(entries.into_iter()), variables(&["A=1"]));
}

#[test]
fn what_the_service_manager_says_to_us_is_not_inherited() {
    let own = OF_THE_SERVICE.map(|name| (name.into(), "1".into()));
    let entries = own.into_iter().chain([("LISTENER".into(), "1".into())]);
    assert_eq!(inherited(entries), variables(&["LISTENER=1"]));
}

#[test]
fn too_many() {
    let many: Vec<Variable> = (0..=ENVIRONMENT_MAX)
        .map(|i| format!("V{i}=").parse().unwrap())
        .collect();
    let error = merge(&[], &PodEnvironment::default(), &many)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "4097 variables are more than 4096");
}

proptest! {
    #[test]
    fn every_name_is_there_once_with_its_strongest_value(
        places in proptest::collection::vec(proptest::collection::btree_set("[A-D]", 0..4), 5),
    ) {
        // Place i sets each of its names to i; 0 is the weakest.
        let set = |i: usize| -> Vec<Variable> {
            places[i].iter().map(|name| format!("{name}={i}").parse().unwrap()).collect()
        };
        let pod = PodEnvironment { inherited: set(0), file: set(2), flags: set(3) };
        let image: Vec<_> = set(1)
            .into_iter()
            .map(|v| EnvironmentVariable { name: v.name, value: v.value })
            .collect();
        let mut merged = texts(&merge(&image, &pod, &set(4)).unwrap());
        merged.sort();
        let mut expected: Vec<String> = Vec::new();
        for name in ["A", "B", "C", "D"] {
            let strongest = (0..5).rev().find(|i| places[*i].contains(name));
            expected.extend(strongest.map(|i| format!("{name}={i}")));
        }
        prop_assert_eq!(merged, expected);
    }
}
