//! Keys, tokens and logouts as a caller meets them.

use super::*;
use crate::auth::{ApiKey, NewApiKey};
use crate::domain::clock::SystemEntropy;
use crate::domain::identity::{Client, Owner};
use crate::domain::secret::SecretBytes;
use crate::journal::episodes::RecordBound;

const NOW: UnixMicros = UnixMicros(1_795_519_533_000_000);
const LIFETIME_S: u64 = 3_600;

fn later(seconds: u64) -> UnixMicros {
    NOW.plus_millis(seconds * 1_000)
}

fn access() -> Access {
    let secret = SecretBytes::random(32, &SystemEntropy).unwrap();
    let token_key = TokenKey::new("jwt/1".into(), secret).unwrap();
    let (fold, verifiers) = Default::default();
    Access::new(
        fold,
        verifiers,
        token_key,
        LIFETIME_S,
        Arc::new(SystemEntropy),
        RecordBound::default(),
    )
}

fn apply(access: &Access, time: UnixMicros, fact: Fact) {
    access.apply(&Record {
        seq: 0,
        time,
        fact,
        private: None,
        actor: "auth".into(),
        principal: None,
        correlation: None,
    });
}

fn add(access: &Access, role: Role, expires: Option<UnixMicros>) -> (String, String) {
    let new = NewApiKey {
        owner: Owner::try_from("ann".to_owned()).unwrap(),
        client: Some(Client::try_from("bot".to_owned()).unwrap()),
        role,
        local: true,
        expires,
    };
    let (key, fact) = new.make(&SystemEntropy).unwrap();
    access.add_verifier(key.id().as_str(), key.verifier());
    apply(access, NOW, fact);
    (text_of(&key), key.id().to_string())
}

fn text_of(key: &ApiKey) -> String {
    String::from_utf8(key.to_text().expose().to_vec()).unwrap()
}

#[test]
fn a_key_and_the_token_made_with_it_are_the_same_caller() {
    let access = access();
    let (key, id) = add(&access, Role::Admin, None);
    let by_key = access.caller(&key, NOW).unwrap();
    assert_eq!(by_key.principal.as_str(), id);
    assert_eq!(
        (by_key.role, by_key.key_created_us, by_key.key_made_locally),
        (Role::Admin, NOW, true)
    );
    let login = access.login(&key, NOW).unwrap();
    assert_eq!(login.caller, by_key);
    assert_eq!(login.expires_in_s, LIFETIME_S);
    for _ in 0..3 {
        assert_eq!(access.caller(&login.token, later(1)), Ok(by_key.clone()));
    }
    let Fact::AuthLogin {
        principal,
        jti,
        expires_us,
    } = login.fact
    else {
        panic!("{:?}", login.fact);
    };
    assert_eq!((principal.as_str(), jti), (id.as_str(), login.jti));
    assert_eq!(expires_us, later(LIFETIME_S));
}

#[test]
fn an_unknown_id_and_a_wrong_secret_are_the_same_refusal() {
    let access = access();
    let (key, id) = add(&access, Role::Admin, None);
    let stranger = ApiKey::generate(&SystemEntropy).unwrap();
    let unknown = text_of(&stranger);
    let wrong = unknown.replace(stranger.id().as_str(), &id);
    assert_ne!(wrong, key);
    for presented in [unknown, wrong] {
        assert_eq!(access.caller(&presented, NOW), Err(AuthError::Invalid));
        assert_eq!(
            access.login(&presented, NOW).err(),
            Some(AuthError::Invalid)
        );
    }
}

#[test]
fn a_key_whose_verifier_is_lost_proves_nobody() {
    let access = access();
    let key = ApiKey::generate(&SystemEntropy).unwrap();
    apply(
        &access,
        NOW,
        Fact::ApiKeyCreated {
            id: key.id().to_string(),
            owner: Owner::try_from("ann".to_owned()).unwrap(),
            client: Client::try_from("bot".to_owned()).unwrap(),
            role: Role::Admin,
            local: true,
            expires_us: None,
        },
    );
    assert_eq!(access.caller(&text_of(&key), NOW), Err(AuthError::Invalid));
    assert_eq!(access.api_keys().len(), 1);
}

#[test]
fn a_verifier_without_its_record_proves_nobody() {
    let access = access();
    let key = ApiKey::generate(&SystemEntropy).unwrap();
    access.add_verifier(key.id().as_str(), key.verifier());
    assert_eq!(access.caller(&text_of(&key), NOW), Err(AuthError::Invalid));
}

#[test]
fn a_token_ends_with_its_time_also_when_it_was_checked_before() {
    let access = access();
    let (key, _) = add(&access, Role::System, None);
    let login = access.login(&key, NOW).unwrap();
    assert!(access.caller(&login.token, later(LIFETIME_S)).is_ok());
    let over = later(LIFETIME_S + super::super::token::CLOCK_LEEWAY_S + 1);
    assert_eq!(access.caller(&login.token, over), Err(AuthError::Expired));
    assert!(access.caller(&key, over).is_ok(), "the key itself goes on");
}

#[test]
fn a_token_taken_back_is_dead_at_once_and_stays_dead() {
    let access = access();
    let (key, _) = add(&access, Role::Admin, None);
    let (one, two) = (
        access.login(&key, NOW).unwrap(),
        access.login(&key, NOW).unwrap(),
    );
    assert!(access.caller(&one.token, NOW).is_ok());
    let fact = access.logout(&one.token, NOW).unwrap();
    assert_eq!(access.caller(&one.token, NOW), Err(AuthError::Revoked));
    assert_eq!(
        access.logout(&one.token, NOW).err(),
        Some(AuthError::Revoked)
    );
    assert!(
        access.caller(&two.token, NOW).is_ok(),
        "the other one goes on"
    );
    add(&access, Role::Readonly, None);
    assert_eq!(
        access.caller(&one.token, NOW),
        Err(AuthError::Revoked),
        "before its record"
    );
    apply(&access, later(1), fact);
    assert_eq!(access.caller(&one.token, later(2)), Err(AuthError::Revoked));
}

#[test]
fn an_api_key_is_not_taken_back_by_a_logout() {
    let access = access();
    let (key, _) = add(&access, Role::Admin, None);
    assert_eq!(access.logout(&key, NOW).err(), Some(AuthError::Malformed));
    assert!(access.caller(&key, NOW).is_ok());
}

#[test]
fn revoking_a_key_kills_its_tokens() {
    let access = access();
    let ((key, id), (other, _)) = (
        add(&access, Role::Admin, None),
        add(&access, Role::Admin, None),
    );
    let (mine, theirs) = (
        access.login(&key, NOW).unwrap(),
        access.login(&other, NOW).unwrap(),
    );
    assert!(access.caller(&mine.token, NOW).is_ok());
    apply(&access, NOW, Fact::ApiKeyRevoked { id });
    for bearer in [&key, &mine.token] {
        assert_eq!(access.caller(bearer, NOW), Err(AuthError::Revoked));
    }
    assert!(access.caller(&theirs.token, NOW).is_ok());
}

#[test]
fn an_expired_key_and_its_tokens_are_refused_from_that_instant() {
    let access = access();
    let (key, _) = add(&access, Role::Admin, Some(later(60)));
    let login = access.login(&key, NOW).unwrap();
    let before = UnixMicros(later(60).0 - 1);
    for bearer in [&key, &login.token] {
        assert!(access.caller(bearer, before).is_ok());
        assert_eq!(access.caller(bearer, later(60)), Err(AuthError::Expired));
    }
}

#[test]
fn what_is_no_credential_is_told_apart_here_and_has_one_code_outside() {
    let access = access();
    assert_eq!(access.caller("", NOW), Err(AuthError::Missing));
    for bearer in ["x", "fg_", "fg_x_y", "a.b.c", "é", "null"] {
        assert_eq!(
            access.caller(bearer, NOW),
            Err(AuthError::Malformed),
            "{bearer}"
        );
    }
    for error in [
        AuthError::Missing,
        AuthError::Malformed,
        AuthError::Invalid,
        AuthError::Expired,
        AuthError::Revoked,
    ] {
        assert_eq!(error.login_code(), "INVALID_CREDENTIALS");
        assert_eq!(error.code(), "UNAUTHENTICATED");
    }
    assert_eq!(bearer_of(None), Err(AuthError::Missing));
    assert_eq!(bearer_of(Some("Basic abc")), Err(AuthError::Malformed));
    assert_eq!(bearer_of(Some("Bearer abc")), Ok("abc"));
    assert_eq!(bearer_of(Some("bearer  abc ")), Ok("abc"));
}

#[test]
fn the_memory_of_checked_tokens_is_bounded() {
    let access = access();
    let (key, _) = add(&access, Role::Admin, None);
    let first = access.login(&key, NOW).unwrap().token;
    for _ in 0..CHECKED_TOKENS_MAX + 10 {
        let token = access.login(&key, NOW).unwrap().token;
        assert!(access.caller(&token, NOW).is_ok());
    }
    assert!(access.checked.read().len() <= CHECKED_TOKENS_MAX);
    assert!(access.caller(&first, NOW).is_ok());
    assert!(access.caller("a.b.c", NOW).is_err());
}
