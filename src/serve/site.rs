//! What is served, and what is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{self, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use super::login::Login;

/// The only name with a dot in front that is meant for everybody (RFC 8615).
const WELL_KNOWN: &str = ".well-known";
/// PM2's.
const HOME_PAGE: &str = "/index.html";

/// One directory and how it is shown.
#[derive(Clone, Debug)]
pub(super) struct Site {
    root: PathBuf,
    /// Every path that is no file means the home page: the page itself knows what to show.
    single_page: bool,
    home_page: Uri,
    login: Option<Login>,
}

impl Site {
    /// As the variables say.
    ///
    /// # Errors
    /// What is missing or wrong, and where.
    pub(super) fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let root = PathBuf::from(variable("PM2_SERVE_PATH").unwrap_or_else(|| ".".to_owned()));
        let shown = root.display();
        let root = std::path::absolute(&root).map_err(|error| format!("{shown}: {error}"))?;
        if !root.is_dir() {
            return Err(format!("{}: no such directory (PM2_SERVE_PATH)", root.display()));
        }
        let home_page = variable("PM2_SERVE_HOMEPAGE").unwrap_or_else(|| HOME_PAGE.to_owned());
        let home_page = format!("/{}", home_page.trim_start_matches('/'));
        Ok(Self {
            root,
            single_page: variable("PM2_SERVE_SPA").is_some_and(|text| text == "true"),
            home_page: home_page
                .parse()
                .map_err(|error| format!("PM2_SERVE_HOMEPAGE: {home_page} is no path of a page: {error}"))?,
            login: Login::new(&variable)?,
        })
    }

    /// The directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Answers requests.
    pub(super) fn router(self) -> Router {
        let page = |name: &str| ServeFile::new(self.root.join(name.trim_start_matches('/')));
        let files = ServeDir::new(&self.root);
        let router = if self.single_page {
            // PM2's: a page that stands deep in the site may name its files as if it stood at the top.
            let at_the_top = ServeDir::new(&self.root)
                .append_index_html_on_directories(false)
                .fallback(page(self.home_page.path()))
                .map_request(base_name);
            Router::new().fallback_service(files.fallback(at_the_top))
        } else {
            Router::new().fallback_service(files.not_found_service(page("404.html")))
        };
        router.layer(from_fn_with_state(Arc::new(self), gate))
    }
}

/// The last part of the path alone.
fn base_name<Body>(mut request: http::Request<Body>) -> http::Request<Body> {
    let path = request.uri().path();
    let base_name = path.rfind('/').map_or(path, |at| &path[at..]);
    // What ends a path is one.
    if let Ok(uri) = base_name.parse() {
        *request.uri_mut() = uri;
    }
    request
}

async fn gate(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    if site.login.as_ref().is_some_and(|login| !login.admits(request.headers())) {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"supd\", charset=\"UTF-8\"")];
        return (StatusCode::UNAUTHORIZED, ask).into_response();
    }
    if is_hidden(request.uri().path()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if request.uri().path() == "/" {
        *request.uri_mut() = site.home_page.clone();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // As PM2 does; and no browser guesses a type.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether some part of the path begins with a dot: what is hidden in a directory is no page (`.git`, `.env`).
fn is_hidden(path: &str) -> bool {
    let path = percent_decode_str(path).decode_utf8_lossy();
    path.split('/').any(|part| part.starts_with('.') && part != WELL_KNOWN)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Method;
    use tempfile::TempDir;

    fn directory() -> TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in [
            ("secret.txt", "outside"),
            ("site/index.html", "home"),
            ("site/start.html", "start"),
            ("site/a b.txt", "0123456789"),
            ("site/docs/index.html", "docs"),
            ("site/bare/x.css", "x"),
            ("site/.env", "KEY=1"),
            ("site/.git/config", "url"),
            ("site/docs/.htpasswd", "x"),
            ("site/.well-known/acme", "token"),
        ] {
            let file = directory.path().join(name);
            fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            fs::write(file, text).expect("written");
        }
        directory
    }

    fn site(directory: &TempDir, set: &[(&str, &str)]) -> Router {
        let root = directory.path().join("site").display().to_string();
        let variable = |name: &str| match name {
            "PM2_SERVE_PATH" => Some(root.clone()),
            _ => set.iter().find(|(set, _)| name.ends_with(set)).map(|(_, value)| (*value).to_owned()),
        };
        Site::new(variable).expect("a site").router()
    }

    async fn ask(
        router: &Router,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (u16, String, Response) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let (head, body) = router.clone().oneshot(request).await.expect("an answer").into_parts();
        let text = to_bytes(body, 1 << 20).await.expect("a body");
        let text = String::from_utf8(text.to_vec()).expect("text");
        (head.status.as_u16(), text, Response::from_parts(head, Body::empty()))
    }

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let (status, text, _) = ask(router, Method::GET, path, &[]).await;
        (status, text)
    }

    #[tokio::test]
    async fn files_are_served_and_nothing_hidden_or_outside_is() {
        let directory = directory();
        let router = site(&directory, &[]);
        for (path, status, text) in [
            ("/", 200, "home"),
            ("/index.html?x=1", 200, "home"),
            ("/a%20b.txt", 200, "0123456789"),
            ("/docs/", 200, "docs"),
            ("/docs", 307, ""),
            ("/bare/", 404, ""),
            ("/nothing", 404, ""),
            ("/.well-known/acme", 200, "token"),
            ("/.env", 404, ""),
            ("/%2eenv", 404, ""),
            ("/.git/config", 404, ""),
            ("/docs%2f.htpasswd", 404, ""),
            ("/docs/.htpasswd", 404, ""),
            ("/../secret.txt", 404, ""),
            ("/docs/../../secret.txt", 404, ""),
            ("/%2e%2e/secret.txt", 404, ""),
            ("/docs/..%2f..%2fsecret.txt", 404, ""),
            ("//etc/hostname", 404, ""),
            ("/%2fetc/hostname", 404, ""),
            ("/%00", 404, ""),
        ] {
            assert_eq!(get(&router, path).await, (status, text.to_owned()), "{path}");
        }
        assert_eq!(ask(&router, Method::POST, "/", &[]).await.0, 405);
    }

    #[tokio::test]
    async fn a_client_may_ask_for_a_part_or_for_news() {
        let directory = directory();
        let router = site(&directory, &[]);
        let (status, text, response) =
            ask(&router, Method::GET, "/a%20b.txt", &[("range", "bytes=2-4")]).await;
        assert_eq!((status, text.as_str()), (206, "234"));
        let modified = response.headers()[header::LAST_MODIFIED].to_str().expect("a date").to_owned();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain");
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let (status, ..) = ask(&router, Method::GET, "/a%20b.txt", &[("if-modified-since", &modified)]).await;
        assert_eq!(status, 304);
    }

    #[tokio::test]
    async fn what_is_not_found_has_a_page_of_its_own_or_the_single_one() {
        let directory = directory();
        let single = site(&directory, &[("SPA", "true"), ("HOMEPAGE", "start.html")]);
        for (path, status, text) in [
            ("/", 200, "start"),
            ("/any/where", 200, "start"),
            ("/any/where/", 200, "start"),
            ("/any/where/a%20b.txt?x", 200, "0123456789"),
            ("/docs/index.html", 200, "docs"),
            ("/any/bare", 200, "start"),
            ("/any/%2e%2e%2fsecret.txt", 404, ""),
            ("/.env", 404, ""),
            ("/any/.env", 404, ""),
        ] {
            assert_eq!(get(&single, path).await, (status, text.to_owned()), "{path}");
        }
        fs::write(directory.path().join("site/404.html"), "gone").expect("written");
        let several = site(&directory, &[]);
        assert_eq!(get(&several, "/nothing").await, (404, "gone".to_owned()));
        assert_eq!(get(&several, "/404.html").await, (200, "gone".to_owned()));
    }

    #[tokio::test]
    async fn without_the_password_nothing_is_told() {
        let directory = directory();
        let router = site(&directory, &[("_USERNAME", "a"), ("_PASSWORD", "b")]);
        for path in ["/", "/nothing", "/.env"] {
            let (status, text, response) = ask(&router, Method::GET, path, &[]).await;
            assert_eq!((status, text.as_str()), (401, ""), "{path}");
            assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
        }
        let (status, ..) = ask(&router, Method::GET, "/", &[("authorization", "Basic YTpi")]).await;
        assert_eq!(status, 200);
    }

    #[test]
    fn a_site_needs_its_directory_and_a_page() {
        let variables = |path: &'static str, page: &'static str| {
            move |name: &str| match name {
                "PM2_SERVE_PATH" => Some(path.to_owned()),
                "PM2_SERVE_HOMEPAGE" => Some(page.to_owned()),
                _ => None,
            }
        };
        assert!(
            Site::new(variables("/no/such/directory", "")).expect_err("none").contains("/no/such/directory")
        );
        assert!(Site::new(variables("/", "a b")).expect_err("no path").contains("PM2_SERVE_HOMEPAGE"));
    }
}
