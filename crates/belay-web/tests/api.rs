//! The API on a real server: real store, ledger, certificate and TLS. No target is needed for what is tried here.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use belay_engine::{BoxFuture, ControlError, Feasibility, RoleSpec, TargetAccess};
use belay_server::config::Config;
use belay_server::desk::Surveyor;
use belay_server::listen::{Gateway, GatewayConfig, GatewayParts};
use belay_server::metrics::Metrics;
use belay_server::server::Foundation;
use belay_server::sessions::ConnectionLimits;
use belay_server::shutdown::Shutdown;
use belay_server::vault::Keeping;
use belay_web::{Doors, TlsListener, admin, api};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

struct Willing;

impl Surveyor for Willing {
    fn feasible<'a>(
        &'a self,
        _: &'a TargetAccess,
        spec: &'a RoleSpec,
    ) -> BoxFuture<'a, Result<Feasibility, ControlError>> {
        let existing = spec.resources.clone();
        Box::pin(async { Ok(Feasibility { existing, ..Feasibility::default() }) })
    }
}

struct Server {
    dir: tempfile::TempDir,
    api: SocketAddr,
    admin: SocketAddr,
    shutdown: Shutdown,
    client: Client,
    token: String,
    gateway: Option<Arc<Gateway>>,
}

impl Server {
    /// With a target that keeps whatever it is asked for.
    async fn start() -> Server {
        Server::start_with(Some(Arc::new(Willing))).await
    }

    async fn start_with(surveyor: Option<Arc<dyn Surveyor>>) -> Server {
        belay_server::tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let text = format!("data_dir = {:?}", dir.path().display().to_string());
        let config = Config::parse(&text, Path::new("belay.toml"), &|_| None).unwrap();
        let foundation = Foundation::open(&config, "0.0.0").await.unwrap();
        let token = std::fs::read_to_string(foundation.first_token.as_ref().unwrap()).unwrap().trim().to_owned();
        let parts = GatewayParts {
            desk: Arc::clone(&foundation.desk),
            ledger: foundation.ledger.clone(),
            clock: Arc::clone(&foundation.clock),
            engine: foundation.engine(&config).unwrap(),
        };
        if let Some(surveyor) = surveyor {
            foundation.desk.meet(surveyor);
        }
        let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let limits = ConnectionLimits { total: 8, per_session: 2 };
        let gateway_config = GatewayConfig {
            listen,
            limits,
            threads: Some(1),
            warn_before: Vec::new(),
            notify: None,
            keeping: Keeping::default(),
        };
        let gateway = Arc::new(Gateway::start(&gateway_config, parts, &[]).await.unwrap());
        let tls = foundation.identity.http().unwrap();
        let (api, admin) =
            (TlsListener::bind(listen, Arc::clone(&tls)).await.unwrap(), TlsListener::bind(listen, tls).await.unwrap());
        let (api_address, admin_address) = (api.address(), admin.address());
        let doors = Arc::new(Doors {
            desk: foundation.desk,
            ledger: foundation.ledger,
            sealer: foundation.sealer,
            clock: foundation.clock,
            gateway: Arc::downgrade(&gateway),
            archive: None,
            feeds: Arc::default(),
            version: "0.0.0".to_owned(),
        });
        let shutdown = Shutdown::default();
        let operators = admin::router(Arc::clone(&doors), Metrics::detached(), shutdown.subscribe());
        tokio::spawn(belay_web::serve(api, api::router(doors), shutdown.subscribe()));
        tokio::spawn(belay_web::serve(admin, operators, shutdown.subscribe()));
        let ca = Certificate::from_pem(&std::fs::read(dir.path().join("ca.pem")).unwrap()).unwrap();
        let client = Client::builder().https_only(true).no_proxy().tls_certs_only([ca]).build().unwrap();
        Server { dir, api: api_address, admin: admin_address, shutdown, client, token, gateway: Some(gateway) }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> (StatusCode, String, Value) {
        let mut request = self.client.request(method, format!("https://localhost:{}{path}", self.api.port()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let kind = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        let body = response.bytes().await.unwrap();
        (status, kind.unwrap_or_default(), serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn as_admin(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let (status, _, body) = self.call(method, path, Some(&self.token), body).await;
        (status, body)
    }

    async fn stop(mut self) {
        self.shutdown.begin();
        if let Some(Ok(gateway)) = self.gateway.take().map(Arc::try_unwrap) {
            gateway.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_travels_from_wish_to_grant_and_its_end() {
    let server = Server::start().await;
    let password = json!({"name": "bob", "password": "correct horse battery", "roles": ["approver"]});
    let (status, bob) = server.as_admin(Method::POST, "/v1/users", Some(password)).await;
    assert_eq!(
        (status, &bob["kind"], &bob["api_version"]),
        (StatusCode::CREATED, &json!("user"), &json!("v1")),
        "{bob}"
    );
    let (_, ann) =
        server.as_admin(Method::POST, "/v1/users", Some(json!({"name": "ann", "roles": ["requester"]}))).await;
    let ann = ann["token"].as_str().unwrap().to_owned();

    let login = json!({"name": "bob", "password": "correct horse battery", "label": "test"});
    let (status, _, bob) = server.call(Method::POST, "/v1/login", None, Some(login)).await;
    assert_eq!(status, StatusCode::OK, "{bob}");
    let bob = bob["secret"].as_str().unwrap().to_owned();

    let target = json!({"name": "orders", "host": "127.0.0.1", "port": 1, "database": "orders", "user": "adm", "password": "hunter2", "tls": "disable"});
    let (status, added) = server.as_admin(Method::POST, "/v1/targets", Some(target)).await;
    assert_eq!(status, StatusCode::CREATED, "{added}");
    assert!(!added.to_string().contains("hunter2"));

    let wish = json!({"target": "orders", "duration": "30m", "reason": "INC-1", "resources": ["public.orders"]});
    let (status, _, request) = server.call(Method::POST, "/v1/requests", Some(&ann), Some(wish)).await;
    assert_eq!((status, &request["state"]), (StatusCode::CREATED, &json!("pending")), "{request}");
    let id = request["id"].as_str().unwrap().to_owned();

    let (status, kind, own) = server.call(Method::POST, &format!("/v1/requests/{id}/approve"), Some(&ann), None).await;
    assert_eq!(
        (status, kind.as_str(), &own["code"]),
        (StatusCode::FORBIDDEN, "application/problem+json", &json!("denied")),
        "{own}"
    );
    let (status, _, approved) =
        server.call(Method::POST, &format!("/v1/requests/{id}/approve"), Some(&bob), None).await;
    assert_eq!((status, &approved["state"]), (StatusCode::OK, &json!("approved")), "{approved}");
    let grant = approved["grant"]["id"].as_str().unwrap().to_owned();
    assert!(approved["grant"]["ends_at"].as_str().unwrap().ends_with('Z'));

    let (_, _, token) = server.call(Method::POST, &format!("/v1/grants/{grant}/token"), Some(&ann), None).await;
    assert!(token["secret"].as_str().unwrap().starts_with("bly_"), "{}", token["kind"]);
    let (_, _, revoked) = server.call(Method::POST, &format!("/v1/grants/{grant}/revoke"), Some(&bob), None).await;
    assert_eq!((&revoked["state"], &revoked["ended_by"]), (&json!("revoked"), &json!("bob")));

    let (status, records) = server.as_admin(Method::GET, "/v1/audit?limit=1000", None).await;
    assert_eq!(status, StatusCode::OK);
    let events: Vec<&str> =
        records["items"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    for event in [
        "server_started",
        "user_added",
        "api_login",
        "target_added",
        "request_made",
        "request_approved",
        "grant_made",
        "token_claimed",
        "grant_ended",
    ] {
        assert!(events.contains(&event), "{event} is not in {events:?}");
    }
    assert!(!records.to_string().contains("hunter2") && !records.to_string().contains("correct horse"));
    let (_, proof) = server.as_admin(Method::POST, "/v1/audit/verify", None).await;
    assert_eq!(proof["intact"], json!(true), "{proof}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_a_target_that_cannot_be_asked_is_refused() {
    let server = Server::start_with(None).await;
    let target = json!({"name": "orders", "host": "127.0.0.1", "port": 1, "database": "orders", "user": "adm", "tls": "disable"});
    server.as_admin(Method::POST, "/v1/targets", Some(target)).await;
    let wish = json!({"target": "orders", "duration": "30m", "reason": "INC-1"});
    let (status, refused) = server.as_admin(Method::POST, "/v1/requests", Some(wish)).await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_GATEWAY, &json!("target_unreachable")), "{refused}");
    let (_, requests) = server.as_admin(Method::GET, "/v1/requests?all=true", None).await;
    assert_eq!(requests["items"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_and_masks_travel_as_json() {
    let server = Server::start().await;
    let target = json!({"name": "orders", "host": "127.0.0.1", "port": 1, "database": "orders", "user": "adm", "tls": "disable"});
    server.as_admin(Method::POST, "/v1/targets", Some(target)).await;
    let mask = json!({"target": "orders", "column": "app.c.email", "shows": "fixed=n/a"});
    let (status, made) = server.as_admin(Method::POST, "/v1/masks", Some(mask)).await;
    assert_eq!((status, &made["shows"]), (StatusCode::CREATED, &json!("fixed=n/a")), "{made}");
    let (_, masks) = server.as_admin(Method::GET, "/v1/masks?target=orders", None).await;
    assert_eq!(masks["items"][0]["id"], made["id"]);
    let bounds = json!({"functions": ["app.f"], "rows": [{"table": "app.c", "predicate": "id = 7"}],
        "budgets": {"rows": 5, "statement_time": "30s"}});
    let wish =
        json!({"target": "orders", "duration": "30m", "reason": "INC-1", "resources": ["app.c"], "bounds": bounds});
    let (status, request) = server.as_admin(Method::POST, "/v1/requests", Some(wish)).await;
    assert_eq!((status, &request["bounds"]), (StatusCode::CREATED, &bounds), "{request}");
    for (field, wrong) in [
        ("bounds", json!({"rows": [{"table": "c", "predicate": "true"}]})),
        ("bounds", json!({"budgets": {"rowz": 5}})),
        ("bounds", json!({"budgets": {"rows": 0}})),
        ("effects", json!(["every"])),
    ] {
        let mut wish = json!({"target": "orders", "duration": "30m", "reason": "INC-1", "resources": ["app.c"]});
        wish[field] = wrong;
        let (status, problem) = server.as_admin(Method::POST, "/v1/requests", Some(wish)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")), "{problem}");
    }
    let path = format!("/v1/masks/{}", made["id"].as_str().unwrap());
    assert_eq!(server.as_admin(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(server.as_admin(Method::DELETE, &path, None).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_every_described_route_is_there_and_guarded() {
    let server = Server::start().await;
    let (status, _, description) = server.call(Method::GET, "/v1/openapi.json", None, None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"), "{}", description["openapi"]);

    let mut described = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "post", "put", "patch", "delete"].contains(&key.as_str()))
        {
            described += 1;
            let plain = path.replace(['{', '}'], "");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let (status, kind, problem) = server.call(method.clone(), &plain, None, None).await;
            let expected =
                if path == "/v1/login" { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::UNAUTHORIZED };
            assert_eq!((status, kind.as_str()), (expected, "application/problem+json"), "{method} {path}: {problem}");
        }
    }
    let mut written = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api")).unwrap() {
        written += std::fs::read_to_string(file.unwrap().path()).unwrap().matches("utoipa::path(").count();
    }
    assert_eq!(described, written, "a handler is not registered in the API's description");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_met_with_a_problem_that_says_what_to_do() {
    let server = Server::start().await;
    let cases = [
        (Method::GET, "/v1/nowhere", None, 404, "unknown_path"),
        (Method::DELETE, "/v1/login", None, 405, "method_not_allowed"),
        (Method::GET, "/v1/grants/g_99", None, 404, "not_found"),
        (Method::POST, "/v1/requests", Some(json!({"target": "Orders"})), 422, "invalid"),
        (Method::POST, "/v1/requests", Some(json!({"target": "x", "duration": "30", "reason": "y"})), 422, "invalid"),
        (Method::POST, "/v1/requests", Some(json!({"taget": "x"})), 422, "invalid"),
        (Method::GET, "/v1/audit?query=nonsense:1", None, 422, "invalid"),
        (Method::GET, "/v1/audit?limt=1", None, 400, "invalid"),
        (Method::POST, "/v1/users", Some(json!({"name": "x", "password": "x".repeat(300_000)})), 413, "body_too_large"),
    ];
    for (method, path, body, status, code) in cases {
        let (seen, problem) = server.as_admin(method, path, body).await;
        assert_eq!((seen.as_u16(), &problem["code"]), (status, &json!(code)), "{path}: {problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    let (_, problem) = server
        .as_admin(Method::POST, "/v1/requests", Some(json!({"target": "x", "duration": "30", "reason": "y"})))
        .await;
    assert_eq!(problem["detail"], "`30` has no unit; write `30m` for minutes or `30h` for hours");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let server = Server::start().await;
    let wrong = json!({"name": "admin", "password": "wrong wrong wrong"});
    let unknown = json!({"name": "nobody", "password": "wrong wrong wrong"});
    let first = server.call(Method::POST, "/v1/login", None, Some(wrong)).await;
    let second = server.call(Method::POST, "/v1/login", None, Some(unknown)).await;
    assert_eq!(first.0, StatusCode::UNAUTHORIZED);
    assert_eq!(first, second);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_whether_it_lives_and_is_ready_until_it_stops() {
    let server = Server::start().await;
    let ask = async |path: &str| {
        let response =
            server.client.get(format!("https://localhost:{}{path}", server.admin.port())).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(ask("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(ask("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(ask("/metrics").await.0, 200);
    assert!(server.dir.path().join("ca.pem").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_holds_up_nobody_and_cleartext_is_refused() {
    let server = Server::start().await;
    let silent: Vec<_> = silent_clients(20, server.api).await;
    let (status, _) = server.as_admin(Method::GET, "/v1/me", None).await;
    assert_eq!(status, StatusCode::OK);
    drop(silent);
    let mut cleartext = tokio::net::TcpStream::connect(server.api).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut cleartext, b"GET /v1/me HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = cleartext.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.stop().await;
}

async fn silent_clients(count: usize, address: SocketAddr) -> Vec<tokio::net::TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    streams
}
