use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nhalf:x:5\nminus:x:-1:0::/:\n\
    redis:x:999:1000:,,,:/var/lib/redis:/bin/false\nredis:x:1:1::/second:\nbare:x:7:8\n";
const GROUP: &str =
    "root:x:0:\nwheel:x:10:root,redis\nbroken:x\nredis:x:1000:\naudio:x:29:redis,redi\n";

#[test]
fn users_are_found_by_name_and_number_and_broken_lines_are_not() {
    let accounts = Accounts::new(PASSWD, GROUP);
    let by_name = |name: &str| accounts.user(|user| user.name == name);
    let redis = User {
        name: "redis",
        uid: 999,
        gid: 1000,
        home: "/var/lib/redis",
    };
    assert_eq!(by_name("redis"), Some(redis.clone()));
    assert_eq!(accounts.user(|user| user.uid == 999), Some(redis));
    assert_eq!(by_name("bare").unwrap().home, "");
    for name in ["broken", "half", "minus", "nobody", ""] {
        assert_eq!(by_name(name), None, "{name}");
    }
}

#[test]
fn groups_have_ids_and_members() {
    let accounts = Accounts::new(PASSWD, GROUP);
    assert_eq!(
        (accounts.group("audio"), accounts.group("broken")),
        (Some(29), None)
    );
    assert_eq!(accounts.groups_of("redis"), [10, 29]);
    assert_eq!(accounts.groups_of("red"), [0; 0]);
}
