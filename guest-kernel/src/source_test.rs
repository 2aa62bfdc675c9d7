use super::*;

#[test]
fn one_error_names_every_missing_package_once() {
    let missing = missing(Path::new("/nonexistent/linux.tar.xz"), &|tool| {
        !["ld", "objcopy", "bc"].contains(&tool)
    });
    assert_eq!(missing[..3], ["linux-source-6.12", "binutils", "bc"]);
    assert_eq!(
        SourceError::Missing(vec!["linux-source-6.12", "bc"]).to_string(),
        "missing Debian packages; install them with: apt-get install --no-install-recommends linux-source-6.12 bc"
    );
}

#[test]
fn a_tool_is_looked_for_on_the_path() {
    assert!(on_path("sh"));
    assert!(!on_path("no-such-tool-of-ours"));
}
