//! What is asked for, and what a redirect makes of it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
    HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING, USER_AGENT,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Uri, http};
use percent_encoding::percent_decode_str;
use proto::v1;
use reqwest::{Body, Response, Url};
use sereno_monitor::TargetError;

/// One request, which can be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct PreparedRequest {
    url: Url,
    method: Method,
    headers: HeaderMap,
}

impl PreparedRequest {
    pub(crate) fn new(spec: &v1::HttpCheck) -> Result<Self, TargetError> {
        let mut url = Url::parse(&spec.url)
            .map_err(|error| TargetError::new("http.url", format!("{:?} is no URL: {error}", spec.url)))?;
        if !is_http(&url) {
            return Err(TargetError::new(
                "http.url",
                format!("{:?} is neither http nor https", url.scheme()),
            ));
        }
        let method = match spec.method.as_str() {
            "" => Method::GET,
            method => Method::from_bytes(method.as_bytes())
                .map_err(|_| TargetError::new("http.method", format!("{method:?} is no method")))?,
        };
        let headers = headers(spec, &mut url)?;
        Ok(Self { url, method, headers })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(crate) fn is_http(&self) -> bool {
        is_http(&self.url)
    }

    /// Where to connect to.
    pub(crate) fn uri(&self) -> Result<Uri, http::Error> {
        Ok(self.url.as_str().parse()?)
    }

    /// The request as it is sent to the server itself.
    pub(crate) fn build(&self) -> Result<Request<Body>, http::Error> {
        let mut host = self.url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = self.url.port() {
            host = format!("{host}:{port}");
        }
        let uri = self.uri()?.into_parts().path_and_query.map_or_else(Uri::default, Uri::from);
        let mut request = Request::new(Body::default());
        *request.uri_mut() = uri;
        request.method_mut().clone_from(&self.method);
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().entry(HOST).or_insert(HeaderValue::try_from(host)?);
        Ok(request)
    }

    /// The request to send next, if the answer is a redirect that says where to.
    pub(crate) fn redirected(&self, answer: &Response) -> Option<Self> {
        let method = match answer.status().as_u16() {
            301 | 302 if self.method == Method::POST => Method::GET,
            303 if self.method != Method::HEAD => Method::GET,
            301..=303 | 307 | 308 => self.method.clone(),
            _ => return None,
        };
        let location = std::str::from_utf8(answer.headers().get(LOCATION)?.as_bytes()).ok()?;
        let url = self.url.join(location).ok()?;
        let mut headers = self.headers.clone();
        if method != self.method {
            for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING] {
                headers.remove(name);
            }
        }
        let server = |url: &Url| {
            (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
        };
        // A secret is for the server that it was written for.
        if server(&url) != server(&self.url) {
            for name in [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION, WWW_AUTHENTICATE] {
                headers.remove(name);
            }
            headers.remove("cookie2");
        }
        Some(Self { url, method, headers })
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The headers of a request; user and password of the URL become one of them.
fn headers(spec: &v1::HttpCheck, url: &mut Url) -> Result<HeaderMap, TargetError> {
    let mut headers = HeaderMap::new();
    // The next check opens a new connection; the service need not keep this one.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    let agent = concat!("sereno-health-monitor/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if let Some(basic) = basic_auth(url) {
        headers.insert(AUTHORIZATION, basic);
    }
    for (name, value) in &spec.headers {
        // The value may be a secret.
        let error = |what| TargetError::new("http.headers", format!("{name:?}: {what}"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| error("is no name of a header"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| error("its value can not stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Takes user and password out of a URL.
fn basic_auth(url: &mut Url) -> Option<HeaderValue> {
    let password = url.password().unwrap_or_default();
    if url.username().is_empty() && password.is_empty() {
        return None;
    }
    let mut both: Vec<u8> = percent_decode_str(url.username()).collect();
    both.push(b':');
    both.extend(percent_decode_str(password));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(both))).ok()?;
    value.set_sensitive(true);
    let _ = (url.set_username(""), url.set_password(None));
    Some(value)
}
