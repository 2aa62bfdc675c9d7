//! Standard input, output and error of apps. Input needs `--interactive`, as with rkt: without it an
//! app's input is empty, and the caller's is not read.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Call, pod};
use crate::terminal::Terminal;

fn interactive() -> Call {
    pod(&busybox_oci()).pod_flag("--interactive")
}

#[test]
fn output_and_error_are_separate() {
    let end = pod(&busybox_oci())
        .shell("echo out; echo err >&2")
        .run()
        .exits(0)
        .prints("out\n");
    if end.stderr != b"err\n" {
        end.fail("expected standard error \"err\\n\" alone");
    }
}

#[test]
fn output_that_is_no_text_or_has_no_newline_passes() {
    let end = pod(&busybox_oci())
        .shell(r"printf '\000\377\012end'")
        .run()
        .exits(0);
    assert_eq!(end.stdout, b"\0\xff\nend");
}

#[test]
fn sixty_four_mebibytes_pass_through_cat_unchanged() {
    let input: Vec<u8> = (0..64_u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let end = interactive().exec("/bin/cat").input(input.clone()).run();
    if end.stdout != input {
        end.fail(&format!(
            "{} of {} bytes, or other ones",
            end.stdout.len(),
            input.len()
        ));
    }
    end.exits(0);
}

#[test]
fn input_ends_where_it_ended() {
    interactive()
        .shell("read a; read b || echo end of input after $a")
        .input("one\n")
        .run()
        .exits(0)
        .prints("end of input after one\n");
}

#[test]
fn an_app_that_reads_no_input_is_not_held_by_it() {
    interactive()
        .shell("exit 9")
        .input(vec![b'x'; 8 << 20])
        .run()
        .exits(9);
}

#[test]
fn output_is_whole_when_the_app_ends_at_once() {
    let end = pod(&busybox_oci()).shell("seq 1 200000").run().exits(0);
    let expected: String = (1..=200_000).map(|i| format!("{i}\n")).collect();
    assert_eq!(end.stdout.len(), expected.len());
    assert!(end.stdout == expected.as_bytes());
}

#[test]
fn lines_carry_the_name_in_a_pod_of_several_apps() {
    let end = pod(&busybox_oci())
        .name("alpha")
        .shell("echo one; echo two")
        .app(busybox_oci())
        .name("beta")
        .shell("echo three; echo four >&2")
        .run()
        .exits(0);
    let text = end.text();
    for line in text.lines() {
        let named = match line.rsplit_once(": ") {
            Some((label, "one" | "two")) => label.contains("alpha"),
            Some((label, "three")) => label.contains("beta"),
            _ => false,
        };
        if !named {
            end.fail(&format!("the line {line:?} has no name, or the wrong one"));
        }
    }
    assert_eq!(text.lines().count(), 3);
    end.says("beta").says(": four");
}

#[test]
fn without_interactive_the_input_is_empty() {
    pod(&busybox_oci())
        .exec("/bin/cat")
        .input("not for the app\n")
        .run()
        .exits(0)
        .prints("");
}

#[test]
fn an_interactive_app_on_a_terminal_has_one() {
    let script = "tty; stty size; read line; echo got $line; exit 6";
    let mut terminal = Terminal::open(33, 77);
    let modes = terminal.modes();
    let app = terminal.run(interactive().shell(script));
    // Our terminal goes on making line starts, for what bulkhead itself has to say.
    terminal.wait_for("/dev/pts/0\r\r\n33 77\r\r\n");
    terminal.write("word\r");
    terminal.wait_for("word\r\r\ngot word\r\r\n");
    app.finish().exits(6);
    assert_eq!(terminal.modes(), modes, "it is as it was");
}

#[test]
fn without_interactive_there_is_no_terminal() {
    let mut terminal = Terminal::open(33, 77);
    let app = terminal.run(pod(&busybox_oci()).shell("tty; [ -t 1 ] || echo a pipe"));
    terminal.wait_for("not a tty\r\na pipe\r\n");
    app.finish().exits(0);
}
