use bulkhead_protocol::MAX_APPS;
use bulkhead_protocol::agent::FromAgent;
use bulkhead_protocol::plan::AppName;

use super::super::tests::{ID, ZERO, hello, new, seconds};
use super::super::{Action, Session};

fn damaged(name: &str) -> FromAgent {
    FromAgent::ImageDamaged {
        app: AppName::try_from(name.to_owned()).unwrap(),
    }
}

fn said(session: &mut Session) -> Vec<String> {
    let actions = session.take_actions().into_iter();
    let said = actions.filter_map(|action| match action {
        Action::Say(text) => Some(text),
        _ => None,
    });
    said.collect()
}

#[test]
fn damage_is_told_once_of_each_app() {
    let mut session = new(&["web", "db"]);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    session.agent_message(ZERO, damaged("web"));
    session.agent_message(ZERO, damaged("web"));
    session.agent_message(ZERO, damaged("db"));
    let told = said(&mut session);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("app web: its image is damaged: "));
    // An agent that comes back says it again.
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(Some(ID)));
    session.agent_message(ZERO, damaged("web"));
    assert_eq!(said(&mut session), [""; 0]);
}

#[test]
fn no_guest_fills_the_host_s_screen() {
    let mut session = new(&["web"]);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    for number in 0..=MAX_APPS {
        session.agent_message(ZERO, damaged(&format!("app{number}")));
    }
    assert_eq!(said(&mut session).len(), MAX_APPS);
    // Why it is ended is said when its machine has gone, or should have.
    session.tick(seconds(100));
    let told = said(&mut session).join("\n");
    let end = "breaks the protocol: it tells of damage in more than 100 apps";
    assert!(told.contains(end), "{told}");
}
