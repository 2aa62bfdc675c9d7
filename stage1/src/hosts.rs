//! A pod's name in its `/etc/hosts`.

/// The address that the name is for.
const ADDRESS: &str = "127.0.0.1";

/// `hosts` with `name` in the first line of 127.0.0.1, or in a new one.
#[must_use]
pub fn with_name(hosts: &[u8], name: &str) -> Vec<u8> {
    let is_of_address = |line: &[u8]| {
        let mut words = line.split(u8::is_ascii_whitespace);
        let first = words.find(|word| !word.is_empty());
        first == Some(ADDRESS.as_bytes())
    };
    let mut named = Vec::with_capacity(hosts.len() + ADDRESS.len() + name.len() + 3);
    let mut done = false;
    for line in hosts.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        named.extend_from_slice(text);
        if !done && is_of_address(text) {
            named.push(b' ');
            named.extend_from_slice(name.as_bytes());
            done = true;
        }
        named.push(b'\n');
    }
    if !done {
        named.extend_from_slice(format!("{ADDRESS}\t{name}\n").as_bytes());
    }
    named
}

#[cfg(test)]
mod tests {
    use super::with_name;

    fn named(hosts: &str) -> String {
        String::from_utf8(with_name(hosts.as_bytes(), "box")).unwrap()
    }

    #[test]
    fn the_name_joins_the_first_line_of_127_0_0_1() {
        assert_eq!(
            named("# 127.0.0.1 x\n 127.0.0.1\tlocalhost\n127.0.0.1 web\n"),
            "# 127.0.0.1 x\n 127.0.0.1\tlocalhost box\n127.0.0.1 web\n"
        );
        assert_eq!(named("127.0.0.1"), "127.0.0.1 box\n");
    }

    #[test]
    fn without_such_a_line_one_is_added() {
        assert_eq!(named(""), "127.0.0.1\tbox\n");
        assert_eq!(named("127.0.0.11 dns"), "127.0.0.11 dns\n127.0.0.1\tbox\n");
    }
}
