use anyhow::{Context, anyhow};

use super::*;

#[test]
fn causes_stand_below_what_they_caused() {
    let error = anyhow!("no such file")
        .context("read /srv/web.aci")
        .context("import image \"web\"");
    assert_eq!(
        tree("run", &error),
        "run: import image \"web\"\n  └─read /srv/web.aci\n    └─no such file\n"
    );
    assert_eq!(tree("run", &anyhow!("alone")), "run: alone\n");
    let io: Result<(), _> = Err(std::io::Error::other("broken"));
    assert_eq!(
        tree("doctor", &io.context("read").unwrap_err()),
        "doctor: read\n  └─broken\n"
    );
}
