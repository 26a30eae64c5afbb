use super::*;

fn request(toml: &str) -> Request {
    toml::from_str(toml).unwrap()
}

fn grant(toml: &str) -> Grant {
    toml::from_str(toml).unwrap()
}

fn hash(byte: u8) -> BundleHash {
    BundleHash::from_bytes([byte; 32])
}

const BANK: &str = "[[connection]]\nid = \"bank\"\naccess = \"read\"\n";
const RATES: &str = "[[variable]]\nkey = \"rates.*\"\n";

fn approved(request: &str, only: Option<BundleHash>) -> Approvals {
    Approvals {
        current: Some(Approval {
            grant: grant(request),
            request: self::request(request),
            only,
        }),
        earlier: Vec::new(),
    }
}

#[test]
fn without_an_approval_only_what_asks_for_nothing_passes() {
    let none = Approvals::default();
    assert_eq!(
        none.grant(&hash(1), &Request::default()),
        Ok(Grant::default())
    );
    let Err(Uncovered::Wider(wider)) = none.grant(&hash(1), &request(BANK)) else {
        panic!("a request passed without an approval");
    };
    let whats: Vec<&str> = wider.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(whats, ["connection `bank`, read"]);
}

#[test]
fn what_was_approved_or_less_passes_and_more_waits_with_what_is_more() {
    let both = format!("{BANK}{RATES}");
    let approvals = approved(&both, None);
    let held = grant(&both);
    for less in [
        &both,
        BANK,
        RATES,
        "[[variable]]\nkey = \"rates.eur\"\n",
        "",
    ] {
        assert_eq!(
            approvals.grant(&hash(7), &request(less)),
            Ok(held.clone()),
            "{less}"
        );
    }
    let more = request(&format!("{both}[[variable]]\nkey = \"keys\"\n"));
    let Err(Uncovered::Wider(wider)) = approvals.grant(&hash(7), &more) else {
        panic!("a wider request passed");
    };
    assert_eq!(wider.len(), 1);
    assert_eq!(wider.first().unwrap().what, "variable `keys`");
}

#[test]
fn an_approval_of_one_versions_bytes_covers_no_other_bytes() {
    let approvals = approved(BANK, Some(hash(1)));
    assert!(approvals.grant(&hash(1), &request(BANK)).is_ok());
    assert_eq!(
        approvals.grant(&hash(2), &request(BANK)),
        Err(Uncovered::OtherBytes(hash(1)))
    );
    assert!(matches!(
        approvals.grant(&hash(2), &request(&format!("{BANK}{RATES}"))),
        Err(Uncovered::Wider(_))
    ));
}

#[test]
fn an_older_version_goes_on_under_the_grant_that_is_in_force_now() {
    let mut approvals = approved(&format!("{BANK}{RATES}"), Some(hash(2)));
    assert!(approvals.grant(&hash(1), &request(BANK)).is_err());
    approvals
        .earlier
        .extend(approved(BANK, Some(hash(1))).current);
    assert_eq!(
        approvals.grant(&hash(1), &request(BANK)),
        Ok(grant(&format!("{BANK}{RATES}")))
    );
}

#[test]
fn with_nothing_in_force_what_was_approved_before_gives_nothing() {
    let approvals = Approvals {
        current: None,
        earlier: approved(BANK, None).current.into_iter().collect(),
    };
    assert!(approvals.grant(&hash(1), &request(BANK)).is_err());
}

#[test]
fn a_proposal_keeps_what_is_in_force_with_its_narrowing_and_adds_what_is_new() {
    let mut approvals = approved(BANK, None);
    let narrowed = "[[connection]]\nid = \"bank\"\naccess = \"read\"\ntasks = [\"pay\"]\n";
    approvals.current.as_mut().unwrap().grant = grant(narrowed);
    let wants = format!(
        "{BANK}{RATES}[[http]]\nurl = \"https://api.example/v1/*\"\nphases = [\"task\", \"trigger\"]\n[[directory]]\npath = \"inbox\"\n"
    );
    let (proposed, homeless) = approvals.proposal(&request(&wants));
    let expected = format!(
        "{narrowed}[[variable]]\nkey = \"rates.*\"\nphases = [\"task\"]\n[[http]]\nurl = \"https://api.example/v1/*\"\nphases = [\"task\", \"trigger\"]\n"
    );
    assert_eq!(proposed, grant(&expected));
    assert_eq!(homeless, [GuestPath::new("inbox").unwrap()]);
}

#[test]
fn a_directory_that_is_wanted_wider_is_widened_where_it_lies() {
    let mut approvals = approved("", None);
    let current = approvals.current.as_mut().unwrap();
    current.request = request("[[directory]]\npath = \"in\"\n");
    current.grant =
        grant("[[directory]]\npath = \"in\"\nhost = \"/srv/in\"\nphases = [\"task\"]\n");
    let wants = request(
        "[[directory]]\npath = \"in\"\nmode = \"read-write\"\nphases = [\"task\", \"callback\"]\n",
    );
    let (proposed, homeless) = approvals.proposal(&wants);
    let expected = "[[directory]]\npath = \"in\"\nhost = \"/srv/in\"\nmode = \"read-write\"\nphases = [\"task\", \"callback\"]\n";
    assert_eq!(proposed, grant(expected));
    assert!(homeless.is_empty());
}

#[test]
fn a_grants_differences_are_told_entry_by_entry() {
    let before = grant(
        "[[connection]]\nid = \"bank\"\naccess = \"read\"\n[[directory]]\npath = \"in\"\nhost = \"/a\"\n",
    );
    let now = grant(
        "[[connection]]\nid = \"bank\"\naccess = \"read\"\n[[directory]]\npath = \"in\"\nhost = \"/b\"\n",
    );
    let difference = now.since(&before);
    assert_eq!(difference.added, ["directory `in`, read at `/b`"]);
    assert_eq!(difference.removed, ["directory `in`, read at `/a`"]);
    assert_eq!(now.since(&now), GrantDifference::default());
}

#[test]
fn a_grant_that_nobody_could_read_or_place_is_refused() {
    let many: String = (0..3_000)
        .map(|n| format!("[[variable]]\nkey = \"a_rather_long_name_of_a_variable_{n}\"\n"))
        .collect();
    assert!(matches!(
        grant(&many).check(),
        Err(crate::GrantError::TooLarge { .. })
    ));
    let relative = grant("[[directory]]\npath = \"in\"\nhost = \"srv/in\"\n");
    assert!(matches!(
        relative.check(),
        Err(crate::GrantError::Relative { .. })
    ));
    assert_eq!(grant(BANK).check(), Ok(()));
}

#[test]
fn a_proposal_for_more_phases_or_methods_leaves_the_narrowing_of_the_others() {
    let mut approvals = approved("", None);
    let current = approvals.current.as_mut().unwrap();
    current.request = request(
        "[[connection]]\nid = \"bank\"\naccess = \"read\"\n[[http]]\nurl = \"https://api.example/*\"\n",
    );
    let narrowed = "[[connection]]\nid = \"bank\"\naccess = \"read\"\ntasks = [\"pay\"]\n[[http]]\nurl = \"https://api.example/*\"\ntasks = [\"pay\"]\n";
    current.grant = grant(narrowed);
    let wants = request(
        "[[connection]]\nid = \"bank\"\naccess = \"read\"\nphases = [\"task\", \"trigger\"]\n\
         [[http]]\nurl = \"https://api.example/*\"\nmethods = [\"GET\", \"POST\"]\n",
    );
    let (proposed, _) = approvals.proposal(&wants);
    let expected = format!(
        "{narrowed}[[connection]]\nid = \"bank\"\naccess = \"read\"\nphases = [\"trigger\"]\n\
         [[http]]\nurl = \"https://api.example/*\"\nmethods = [\"POST\"]\nphases = [\"task\"]\n"
    );
    assert_eq!(proposed, grant(&expected));
}

#[test]
fn a_grant_that_could_not_be_read_again_is_refused() {
    let mut held = grant("[[connection]]\nid = \"bank\"\naccess = \"read\"\nfrom = \"payments\"\n");
    held.connection.push(ConnectionGrant {
        from: None,
        ..held.connection[0].clone()
    });
    let refused = held.check().unwrap_err();
    assert!(
        refused.to_string().starts_with("AL-0451") && refused.to_string().contains("`bank`"),
        "{refused}"
    );
}
