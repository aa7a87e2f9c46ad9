//! The cookie that a browser comes back with (RFC 6265bis): readable for no script, sent by no other site's page.

use axum::http::header::{self, HeaderMap, HeaderValue};

/// Browsers keep a cookie for 400 days at most; each visit begins them anew.
const KEEP: u32 = 400 * 24 * 3600;
/// Over TLS. Browsers take a cookie of such a name from its own host over TLS only, so that no neighbour sets one.
const SECURE: &str = "__Host-callbox";
/// Over plain HTTP, where browsers refuse the other.
const PLAIN: &str = "callbox";

/// How a page reaches us, as far as its cookie is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Tls,
    Plain,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Tls => SECURE,
            Way::Plain => PLAIN,
        }
    }

    /// What the browser has of ours.
    pub fn read(self, headers: &HeaderMap) -> Option<&str> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name()).map(|(_, value)| value)
    }

    /// The value of `Set-Cookie`; `None` where the secret is no such value.
    pub fn write(self, secret: &str) -> Option<HeaderValue> {
        self.line(secret, KEEP)
    }

    /// Makes the browser forget it.
    pub fn clear(self) -> Option<HeaderValue> {
        self.line("", 0)
    }

    fn line(self, value: &str, age: u32) -> Option<HeaderValue> {
        let secure = if self == Way::Tls { "; Secure" } else { "" };
        let line = format!("{}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}", self.name());
        let mut line = HeaderValue::try_from(line).ok()?;
        line.set_sensitive(true);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_among_others_and_by_its_own_name_only() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; callbox=plain; x"));
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-callbox=secure;c=d"));
        assert_eq!(Way::Plain.read(&headers), Some("plain"));
        assert_eq!(Way::Tls.read(&headers), Some("secure"));
        assert_eq!(Way::Tls.read(&HeaderMap::new()), None);
    }

    #[test]
    fn no_script_and_no_other_site_gets_it() {
        let line = Way::Tls.write("s3cret").unwrap();
        assert!(line.is_sensitive());
        let line = line.to_str().unwrap();
        for part in ["__Host-callbox=s3cret; Path=/;", "HttpOnly", "SameSite=Strict", "Secure", "Max-Age=34560000"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!Way::Plain.write("s3cret").unwrap().to_str().unwrap().contains("Secure"));
        assert!(Way::Tls.clear().unwrap().to_str().unwrap().contains("Max-Age=0"));
        assert!(Way::Tls.write("a\nb").is_none());
    }
}
