use std::fs::{self, File};
use std::sync::mpsc;

use super::*;

const UUID: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

/// Data with a pod that runs for as long as the file is there, and has written no number yet.
fn running() -> (tempfile::TempDir, File) {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("pods/run").join(UUID);
    fs::create_dir_all(&directory).unwrap();
    let lock = File::open(directory).unwrap();
    lock.lock().unwrap();
    (data, lock)
}

/// What is found by one who asks for the process, when this is done meanwhile.
fn process_while(data: &Path, change: impl FnOnce()) -> Result<i32> {
    let pod = FoundPod::find(data, UUID).unwrap();
    let (started, starts) = mpsc::channel();
    std::thread::scope(|scope| {
        let asks = scope.spawn(move || {
            started.send(()).unwrap();
            process(data, &pod)
        });
        starts.recv().unwrap();
        change();
        asks.join().unwrap()
    })
}

#[test]
fn a_number_that_is_written_later_is_waited_for() {
    let (data, _lock) = running();
    let file = data.path().join("pods/run").join(UUID).join("pid");
    let found = process_while(data.path(), || fs::write(file, "7\n").unwrap());
    assert_eq!(found.unwrap(), 7);
}

#[test]
fn the_end_of_the_pod_ends_the_wait() {
    let (data, lock) = running();
    let error = process_while(data.path(), || drop(lock)).unwrap_err();
    assert!(error.to_string().contains("never will be"), "{error:#}");
}
