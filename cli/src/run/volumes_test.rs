use proptest::prelude::*;

use super::*;

fn json(volume: &Volume) -> String {
    serde_json::to_string(volume).unwrap()
}

fn refused(text: &str) -> String {
    volume(text).unwrap_err().to_string()
}

#[test]
fn volumes_of_the_host() {
    let data = volume("data,kind=host,source=/srv/data").unwrap();
    assert_eq!(
        json(&data),
        r#"{"name":"data","kind":"host","source":"/srv/data"}"#
    );
    let all = volume("a-b,source=/a%2Cb+c%20d,recursive=0,readOnly=T,kind=host").unwrap();
    assert_eq!(
        json(&all),
        r#"{"name":"a-b","kind":"host","source":"/a,b c d","readOnly":true,"recursive":false}"#
    );
}

#[test]
fn empty_volumes() {
    let tmp = volume("tmp,kind=empty").unwrap();
    assert_eq!(json(&tmp), r#"{"name":"tmp","kind":"empty"}"#);
    let owned = volume("tmp,kind=empty,mode=1777,uid=33,gid=34,readOnly=false").unwrap();
    assert_eq!(
        json(&owned),
        r#"{"name":"tmp","kind":"empty","readOnly":false,"mode":"1777","uid":33,"gid":34}"#
    );
}

#[test]
fn disks() {
    let node = volume("d,kind=disk,source=/dev/sdb,readOnly=1").unwrap();
    assert_eq!(
        json(&node),
        r#"{"name":"d","kind":"disk","source":"/dev/sdb","readOnly":true}"#
    );
    let mounted = volume("d,kind=disk,source=/srv/d.img,fsType=ext4").unwrap();
    assert_eq!(
        json(&mounted),
        r#"{"name":"d","kind":"disk","source":"/srv/d.img","fsType":"ext4"}"#
    );
}

#[test]
fn what_is_no_volume_is_refused_by_its_field() {
    for (text, error) in [
        ("data", "kind is missing"),
        ("data,kind=host", "source is missing"),
        (
            "data,kind=host,source=srv",
            "source=\"srv\": \"srv\" is not an absolute path",
        ),
        (
            "data,kind=block,source=/x",
            "kind=\"block\" is not host, empty or disk",
        ),
        (
            "data,kind=empty,source=/x",
            "a volume of kind empty has no source",
        ),
        (
            "data,kind=empty,recursive=true",
            "a volume of kind empty has no recursive",
        ),
        (
            "data,kind=host,source=/x,mode=0755",
            "a volume of kind host has no mode",
        ),
        (
            "data,kind=empty,mode=0999",
            "mode=\"0999\" is not an octal file mode (as 0755)",
        ),
        ("data,kind=empty,uid=-1", "uid=\"-1\" is not a number"),
        (
            "data,kind=empty,readOnly=yes",
            "readOnly=\"yes\" is not true or false",
        ),
        (
            "data,kind=disk,source=/x,fsType=ntfs",
            "fsType=\"ntfs\" is not ext4 or erofs",
        ),
        (
            "data,kind=disk,source=/x,recursive=false",
            "a volume of kind disk has no recursive",
        ),
        (
            "data,kind=host,source=/x,fsType=ext4",
            "a volume of kind host has no fsType",
        ),
        ("data,kind=disk", "source is missing"),
        ("data,kind=empty,kind=host", "kind is given twice"),
        (
            "data,kind=empty,size=1",
            "there is no \"size\" here, only kind, source, readOnly, recursive, mode, uid, gid, fsType",
        ),
        ("data,empty", "\"empty\" is not of the form NAME=VALUE"),
        (
            "data,kind=host,source=%2",
            "\"%2\" has a % that two hexadecimal digits of UTF-8 do not follow",
        ),
        (
            "data,kind=host,source=/%ff",
            "\"/%ff\" has a % that two hexadecimal digits of UTF-8 do not follow",
        ),
    ] {
        assert_eq!(refused(text), error, "{text}");
    }
    assert!(refused("Data,kind=empty").contains("\"Data\""));
}

#[test]
fn mounts() {
    let data = mount("volume=data,target=/var/lib%20x").unwrap();
    assert_eq!(
        (data.volume.as_str(), data.path.as_str()),
        ("data", "/var/lib x")
    );
    for (text, error) in [
        ("volume=data", "target is missing"),
        ("target=/x", "volume is missing"),
        (
            "volume=data,target=x",
            "target=\"x\": \"x\" is not an absolute path",
        ),
        (
            "volume=data,path=/x",
            "there is no \"path\" here, only volume, target",
        ),
    ] {
        assert_eq!(mount(text).unwrap_err().to_string(), error, "{text}");
    }
}

#[test]
fn an_apps_own_mount_takes_the_place_of_everybodys() {
    let all = [
        mount("volume=a,target=/a").unwrap(),
        mount("volume=b,target=/b").unwrap(),
    ];
    let own = [mount("volume=c,target=/b").unwrap()];
    let merged = merge(&all, &own);
    let merged: Vec<_> = merged
        .iter()
        .map(|m| format!("{}:{}", m.volume, m.path))
        .collect();
    assert_eq!(merged, ["c:/b", "a:/a"]);
}

proptest! {
    #[test]
    fn any_path_can_be_said(path in "/[^\0]{0,40}") {
        prop_assume!(!path.split('/').any(|part| part == ".."));
        let escaped: String = path.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let volume = volume(&format!("v,kind=host,source={escaped}")).unwrap();
        let VolumeKind::Host { source, .. } = volume.kind else { panic!() };
        prop_assert_eq!(source.as_str(), path);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = (volume(&text), mount(&text));
    }
}

#[test]
fn a_volume_of_one_app_says_where_it_is_mounted() {
    let read = app_volume("data,kind=empty,target=/my%2Cdata,mode=0700").unwrap();
    assert_eq!(read.volume.as_str(), "data");
    assert_eq!(read.path.as_str(), "/my,data");
    assert_eq!(
        read.app_volume,
        Some(volume("data,kind=empty,mode=0700").unwrap())
    );
    let error = |text| app_volume(text).unwrap_err().to_string();
    assert_eq!(error("data,kind=empty"), "target is missing");
    assert_eq!(
        error("data,kind=empty,target=/a,target=/b"),
        "target is given twice"
    );
    assert_eq!(error("data,target=/a"), "kind is missing");
}
