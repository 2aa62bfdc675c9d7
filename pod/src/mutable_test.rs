use super::*;
use crate::fixture_test::{Data, image_files, stage1_image, uuid};
use crate::lifecycle::Phase;
use crate::manifest::PodContents;

struct Fixture {
    data: Data,
    pod: PathBuf,
    image: AppImage,
    stage1: Stage1Image,
}

impl Fixture {
    /// A pod of the app `web`, and an image for the app `db`.
    fn new() -> Self {
        let data = Data::new();
        let pod = data.pod(Phase::Run, uuid("a"));
        let (erofs, verity) = image_files(data.path());
        let image = AppImage {
            app: "db".parse().unwrap(),
            manifest: b"manifest of db".to_vec(),
            erofs,
            verity,
        };
        let stage1 = stage1_image(&data.path().join("kvm"), true);
        Self {
            data,
            pod,
            image,
            stage1,
        }
    }

    fn begin(&self) -> Change {
        Change::begin(&self.data.find(uuid("a"))).unwrap()
    }

    fn manifest(&self) -> PodManifest {
        PodManifest::parse(&fs::read(self.pod.join("pod")).unwrap()).unwrap()
    }

    fn with_db(&self) -> PodManifest {
        let mut contents = PodContents::clone(&self.manifest());
        let mut db = contents.apps[0].clone();
        db.name = self.image.app.clone();
        contents.apps.push(db);
        PodManifest::new(contents).unwrap()
    }

    fn image_of_db(&self) -> PathBuf {
        self.pod.join("stage1/rootfs/opt/stage2/db/rootfs.erofs")
    }
}

#[test]
fn an_app_comes_with_its_files_and_goes_with_them() {
    let fixture = Fixture::new();
    let (before, after) = (fixture.manifest(), fixture.with_db());
    let change = fixture.begin();
    change.add(&after, &fixture.stage1, &fixture.image).unwrap();
    assert_eq!(fixture.manifest(), after);
    assert_eq!(fs::read(fixture.image_of_db()).unwrap(), b"erofs");
    let of_stage0 = fs::read(fixture.pod.join("appsinfo/db/manifest")).unwrap();
    assert_eq!(of_stage0, b"manifest of db");
    change.remove(&before, &fixture.image.app).unwrap();
    assert_eq!(fixture.manifest(), before);
    assert!(!fixture.image_of_db().exists() && !fixture.pod.join("appsinfo/db").exists());
}

#[test]
fn one_that_fails_leaves_the_manifest_and_no_files() {
    let mut fixture = Fixture::new();
    let (before, after) = (fixture.manifest(), fixture.with_db());
    fixture.image.erofs = PathBuf::from("/nonexistent");
    fixture
        .begin()
        .add(&after, &fixture.stage1, &fixture.image)
        .unwrap_err();
    assert_eq!(fixture.manifest(), before);
    assert!(!fixture.pod.join("appsinfo/db").exists());
}

#[test]
fn one_for_a_stage1_without_block_images_has_an_empty_root() {
    let fixture = Fixture::new();
    let stage1 = stage1_image(&fixture.data.path().join("other"), false);
    let change = fixture.begin();
    change
        .add(&fixture.with_db(), &stage1, &fixture.image)
        .unwrap();
    let root = change.root_of(&fixture.image.app);
    assert_eq!(root, fixture.image_of_db().with_file_name("rootfs"));
    assert_eq!(fs::read_dir(root).unwrap().count(), 0);
    assert!(!fixture.image_of_db().exists());
}

#[test]
fn what_a_killed_change_left_is_replaced() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.image_of_db().parent().unwrap()).unwrap();
    fs::write(fixture.image_of_db(), "half").unwrap();
    fs::write(fixture.pod.join("pod.new"), "half").unwrap();
    fixture
        .begin()
        .add(&fixture.with_db(), &fixture.stage1, &fixture.image)
        .unwrap();
    assert_eq!(fs::read(fixture.image_of_db()).unwrap(), b"erofs");
}

#[test]
fn changes_wait_for_each_other() {
    let fixture = Fixture::new();
    let first = fixture.begin();
    let file = File::open(fixture.pod.join(LOCK)).unwrap();
    let try_lock = || flock(&file, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(try_lock(), Err(rustix::io::Errno::WOULDBLOCK));
    drop(first);
    try_lock().unwrap();
}
