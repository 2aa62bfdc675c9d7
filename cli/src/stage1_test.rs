use super::*;

#[test]
fn a_name_is_looked_up_nearest_first() {
    let directory = tempfile::tempdir().unwrap();
    let (near, far) = (directory.path().join("near"), directory.path().join("far"));
    let installed = [near.clone(), far.clone()];
    std::fs::create_dir_all(far.join("kvm")).unwrap();
    assert_eq!(find("kvm", &installed).unwrap(), far.join("kvm"));
    std::fs::create_dir_all(near.join("kvm")).unwrap();
    assert_eq!(find("kvm", &installed).unwrap(), near.join("kvm"));
    let error = find("fly", &installed).unwrap_err().to_string();
    let expected = format!(
        "no stage1 image \"fly\" in {} or {}",
        near.display(),
        far.display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_name_cannot_leave_the_directories_and_a_path_is_taken_as_it_is() {
    let installed = [PathBuf::from("/")];
    for name in ["", ".", ".."] {
        assert!(find(name, &installed).is_err(), "{name:?}");
    }
    assert_eq!(find("./kvm", &installed).unwrap(), Path::new("./kvm"));
    assert_eq!(find("/opt/kvm", &installed).unwrap(), Path::new("/opt/kvm"));
}

#[test]
fn a_directory_that_is_no_image() {
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().display().to_string();
    let error = open(directory.path(), &name).unwrap_err();
    assert_eq!(error.to_string(), format!("stage1 image \"{name}\""));
}
