//! Who may do what: the rule of each route, and what happens around every request because of it.
//!
//! [`Guard`] stands before every handler, of HTTP and of gRPC. It finds out who calls ([`Caller`]), asks whether they may
//! ([`Rule`]), lets the request in under its tenant's quotas, and afterwards puts changes and refusals
//! into the audit log. A handler that learns only from the body what it is about has the rule
//! [`Rule::Asks`] and calls [`Caller::allow`] itself; an answer of success without that is a defect,
//! and is answered as one.
//!
//! What belongs to another tenant doesn't exist here: every lookup is in the caller's own tenant, and
//! where a path names a tenant, another's is the same 404 as none.

mod record;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use caisson_access::{
    Action, Admission, AuthError, Decision, Kind, OverQuota, Principal, Reason, Resource, Role,
};
use caisson_registry::TenantId;
use http_body::{Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument as _;

use super::error::ApiError;
use super::unread::PIECE_BYTES_MAX;
use super::{Context, body};
pub(crate) use record::Detail;
use record::{audit, note_stranger};

/// Bytes of a caller's `X-Request-Id`: a UUID has 36.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Everyone, without a key. What it answers says nothing of any tenant.
    Public,
    /// Everyone; a handler shows more to who has a key.
    Known,
    /// Everyone with a key.
    AnyKey,
    /// Who may do this to the caller's own tenant's thing in the path's `{name}`, or to all of them.
    On(Action),
    /// Who may do this to the tenant in the path's `{tenant}`.
    Tenant(Action),
    /// Who may do this to the server as a whole.
    Server(Action),
    /// The handler asks for this once it knows what it is about.
    Asks(Action),
}

impl Rule {
    /// What the audit log calls it; nothing for rules that let everyone in.
    pub(crate) fn action(self) -> Option<Action> {
        match self {
            Self::Public | Self::Known | Self::AnyKey => None,
            Self::On(action) | Self::Tenant(action) | Self::Server(action) | Self::Asks(action) => {
                Some(action)
            }
        }
    }
}

/// The peer of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Who makes a request.
#[derive(Clone)]
pub(crate) struct Caller(Arc<Request_>);

struct Request_ {
    principal: Arc<Principal>,
    context: Context,
    peer: Option<SocketAddr>,
    request_id: Option<String>,
    /// What it turned out to be about: the last that was asked for.
    resource: Mutex<Option<(TenantId, String)>>,
    asked: AtomicBool,
    /// It asked for something of another tenant.
    elsewhere: AtomicBool,
    /// Nothing is changed, whatever the action: a dry run.
    harmless: AtomicBool,
}

impl Caller {
    /// The caller's tenant, whose things every name means.
    pub(crate) fn tenant(&self) -> &TenantId {
        self.0.principal.tenant().id()
    }

    /// The caller.
    pub(crate) fn principal(&self) -> &Arc<Principal> {
        &self.0.principal
    }

    /// The peer of the connection.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// Is the key still good? For work that goes on after its request was let in.
    ///
    /// # Errors
    ///
    /// 401: revoked or expired, or its tenant is suspended.
    pub(crate) fn check_still_good(&self) -> Result<(), ApiError> {
        if is_good(&self.0.principal) {
            return Ok(());
        }
        Err(ApiError::unauthorised("key-ended", KEY_ENDED))
    }

    /// How records name the caller: the key's name and id.
    pub(crate) fn author(&self) -> String {
        let principal = &self.0.principal;
        format!("{} ({})", principal.key_name(), principal.key_id())
    }

    /// Is it one of the platform's operators?
    pub(crate) fn is_operator(&self) -> bool {
        self.tenant().as_str() == caisson_access::SYSTEM_TENANT && self.0.principal.role() == Role::Admin
    }

    /// May the caller do this to a thing of its tenant?
    ///
    /// # Errors
    ///
    /// 403, and which policy or role is missing.
    pub(crate) fn allow(&self, action: Action, name: &str) -> Result<(), ApiError> {
        self.allow_on(action, &self.tenant().clone(), name)
    }

    /// May the caller do this to a thing of a tenant?
    ///
    /// # Errors
    ///
    /// 403 for the caller's own tenant; 404 for another.
    pub(crate) fn allow_on(&self, action: Action, owner: &TenantId, name: &str) -> Result<(), ApiError> {
        self.0.asked.store(true, Ordering::Relaxed);
        self.is_about(owner, name);
        if owner != self.tenant() {
            self.0.elsewhere.store(true, Ordering::Relaxed);
        }
        permit(&self.0.context, &self.0.principal, action, owner, name)
    }

    /// May the caller do this to the server as a whole?
    ///
    /// # Errors
    ///
    /// 403, to a tenant too: that there is a server is no secret.
    pub(crate) fn allow_server(&self, action: Action) -> Result<(), ApiError> {
        let system: TenantId = caisson_access::SYSTEM_TENANT.parse()?;
        self.allow_on(action, &system, Resource::ANY_NAME)
            .map_err(|error| match *self.tenant() == system {
                true => error,
                false => ApiError::new(
                    StatusCode::FORBIDDEN,
                    "forbidden",
                    format!("`{action}` of the whole server is not permitted: {OPERATORS_ONLY}"),
                ),
            })
    }

    /// What the audit log says that this request is about.
    pub(crate) fn is_about(&self, owner: &TenantId, name: &str) {
        let about = Some((owner.clone(), name.to_owned()));
        *self.0.resource.lock().unwrap_or_else(PoisonError::into_inner) = about;
    }

    /// This request changes nothing, whatever it was sent to.
    pub(crate) fn is_harmless(&self) {
        self.0.harmless.store(true, Ordering::Relaxed);
    }
}

impl FromRequestParts<Context> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Context) -> Result<Self, ApiError> {
        match parts.extensions.get::<Self>() {
            Some(caller) => Ok(caller.clone()),
            None => Err(ApiError::internal(
                "a handler wants a caller, and its route has none",
            )),
        }
    }
}

/// The caller, if there is one.
pub(crate) struct MaybeCaller(pub(crate) Option<Caller>);

impl FromRequestParts<Context> for MaybeCaller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Context) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<Caller>().cloned()))
    }
}

/// Puts a route's handler behind its rule; see the module. A request that is traced, or named in the log, is
/// so from here. It is a service of its own and no `from_fn`, which would box and clone the handler once more
/// for every request.
#[derive(Clone)]
pub(crate) struct Guard {
    context: Context,
    rule: Rule,
    /// The route, as it stands in the list of all.
    path: &'static str,
}

impl Guard {
    /// The guard of one route.
    pub(crate) fn new(context: &Context, rule: Rule, path: &'static str) -> Self {
        Self {
            context: context.clone(),
            rule,
            path,
        }
    }
}

impl Layer<Route> for Guard {
    type Service = Guarded;

    fn layer(&self, handler: Route) -> Guarded {
        Guarded {
            guard: self.clone(),
            handler,
        }
    }
}

/// A handler behind its rule.
#[derive(Clone)]
pub(crate) struct Guarded {
    guard: Guard,
    handler: Route,
}

impl Service<Request> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { guard, handler } = self.clone();
        let Guard { context, rule, path } = guard;
        match context.app.traces.begin(&request, path) {
            None => Box::pin(admitted(context, rule, request, handler)),
            Some(traced) => {
                let answer = async move {
                    let Ok(response) = admitted(context, rule, request, handler).await;
                    response
                };
                Box::pin(async move { Ok(traced.around(answer, ending).await) })
            }
        }
    }
}

/// The status of an answer, and the code of its error.
fn ending(response: &Response) -> (u16, Option<&'static str>) {
    let error = response.extensions().get::<ApiError>();
    (status(response).as_u16(), error.map(ApiError::code))
}

async fn admitted(
    context: Context,
    rule: Rule,
    request: Request,
    mut handler: Route,
) -> Result<Response, Infallible> {
    let (mut parts, body) = request.into_parts();
    let params = match RawPathParams::from_request_parts(&mut parts, &()).await {
        Ok(params) => params,
        Err(rejection) => return Ok(ApiError::bad_request("bad-path", rejection.body_text()).into_response()),
    };
    let mut request = Request::from_parts(parts, body);
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let principal = match principal(&context, request.headers()) {
        Ok(principal) => Some(principal),
        Err(_) if matches!(rule, Rule::Public) => None,
        Err(None) if matches!(rule, Rule::Known) => None,
        Err(error) => {
            let refusal = unauthorised(error);
            note_stranger(&context, rule, peer, &refusal);
            discard_body(request).await;
            return Ok(refusal.into_response());
        }
    };
    let Some(principal) = principal else {
        return handler.call(request).await;
    };
    let caller = Caller(Arc::new(Request_ {
        request_id: request_id(request.headers()),
        principal,
        context,
        peer,
        resource: Mutex::default(),
        asked: AtomicBool::new(false),
        elsewhere: AtomicBool::new(false),
        harmless: AtomicBool::new(false),
    }));
    let admission = match admit(&caller, rule, &params) {
        Ok(admission) => admission,
        Err(error) => {
            discard_body(request).await;
            return Ok(audit(&caller, rule, error.into_response()).await);
        }
    };
    request.extensions_mut().insert(caller.clone());
    let request = request.map(|body| Body::new(WhileAllowed(body, Arc::clone(&caller.0.principal))));
    let work = async move {
        let Ok(response) = handler.call(request).await;
        let response = checked(&caller, rule, response);
        let response = audit(&caller, rule, response).await;
        // Until the last byte of the answer is on its way.
        response.map(|body| {
            Body::new(Holding {
                body,
                rest: Bytes::new(),
                _admission: admission,
            })
        })
    };
    if !rule.action().is_some_and(Action::changes) {
        return Ok(work.await);
    }
    // A client that goes away must not leave a change half made, or made and not in the audit log.
    Ok(match tokio::spawn(work.in_current_span()).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => ApiError::internal(error).into_response(),
        },
    })
}

/// Who may what concerns all tenants.
const OPERATORS_ONLY: &str = "only operators may, with a key of the tenant `system`";

/// Why a request is not gone on with.
const KEY_ENDED: &str = "the key was revoked, or its tenant suspended, before the request was done";

/// May who had this key when a request was let in go on with it?
fn is_good(principal: &Principal) -> bool {
    !principal.is_revoked() && !principal.has_expired() && principal.tenant().is_active()
}

/// A request's body while its key is good: a key that is revoked while the body arrives gets nothing
/// done by the rest of it.
struct WhileAllowed(Body, Arc<Principal>);

impl HttpBody for WhileAllowed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !is_good(&self.1) {
            return Poll::Ready(Some(Err(axum::Error::new(KEY_ENDED))));
        }
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// An answer's body that counts as a request in progress until its last piece is taken or its client is
/// gone.
struct Holding {
    body: Body,
    /// What is left of a frame.
    rest: Bytes,
    _admission: Option<Admission>,
}

impl Holding {
    /// The next piece of the frame that was begun.
    fn piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES_MAX);
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = match task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.piece()
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

async fn discard_body(request: Request) {
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body).await;
}

/// The caller's key, or the developer that `--dev` lets everyone be. `Err(None)`: no key was sent.
fn principal(context: &Context, headers: &HeaderMap) -> Result<Arc<Principal>, Option<AuthError>> {
    if let Some(developer) = &context.app.developer {
        return Ok(Arc::clone(developer));
    }
    let value = headers.get(header::AUTHORIZATION).ok_or(None)?;
    let key = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim())
        .ok_or(Some(AuthError::Malformed))?;
    context.app.access.authenticate(key).map_err(Some)
}

fn unauthorised(error: Option<AuthError>) -> ApiError {
    match error {
        None => ApiError::unauthorised(
            "no-key",
            "this needs a key: send `Authorization: Bearer csn_…`; `caisson key create` makes one",
        ),
        Some(AuthError::Suspended) => ApiError::new(
            StatusCode::FORBIDDEN,
            AuthError::Suspended.code(),
            AuthError::Suspended.to_string(),
        ),
        Some(error) => ApiError::unauthorised(error.code(), error.to_string()),
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (id.len() <= REQUEST_ID_BYTES_MAX).then(|| id.to_owned())
}

/// Quota, then permission: a decision that a tenant's own policies make dear counts as a request.
fn admit(caller: &Caller, rule: Rule, params: &RawPathParams) -> Result<Option<Admission>, ApiError> {
    let param = |key: &str| params.iter().find(|(k, _)| *k == key).map(|(_, value)| value);
    let admission = match is_metered(rule) {
        true => Some(caller.0.principal.tenant().admit(Instant::now())?),
        false => None,
    };
    if rule.action().is_some_and(is_counted) && !caller.is_operator() {
        caller.0.principal.tenant().admit_change(Instant::now())?;
    }
    match rule {
        Rule::Public | Rule::Known | Rule::AnyKey | Rule::Asks(_) => {}
        Rule::On(action) => caller.allow(action, param("name").unwrap_or(Resource::ANY_NAME))?,
        Rule::Tenant(action) => {
            let name = param("tenant").unwrap_or_default();
            let unknown = || no_tenant(name);
            let owner: TenantId = name.parse().map_err(|_| unknown())?;
            caller.allow_on(action, &owner, Resource::ANY_NAME)?;
            let thing = param("policy").or_else(|| param("id"));
            caller.is_about(&owner, thing.unwrap_or(name));
        }
        Rule::Server(action) => {
            caller.allow_server(action)?;
        }
    }
    Ok(admission)
}

/// Keys and policies can be managed whatever load a tenant makes: they are the way out of it.
pub(crate) fn is_metered(rule: Rule) -> bool {
    rule.action().is_some_and(|action| {
        matches!(
            action.kind(),
            Kind::Plugin
                | Kind::Model
                | Kind::Deployment
                | Kind::Alert
                | Kind::Receiver
                | Kind::Audit
                | Kind::Quota
        )
    })
}

/// Changes that count against the quota of them: all but those that take rights away, which must always
/// be possible, and each of which needs one that counts before it; and reading, which is recorded as they are.
fn is_counted(action: Action) -> bool {
    let free = matches!(
        action,
        Action::KeyRevoke | Action::PolicyDelete | Action::DeploymentReadPredictions
    );
    action.changes() && !free
}

fn permit(
    context: &Context,
    principal: &Principal,
    action: Action,
    owner: &TenantId,
    name: &str,
) -> Result<(), ApiError> {
    match context
        .app
        .access
        .authorize(principal, action, &Resource::new(owner, name))
    {
        Decision::Allow => Ok(()),
        Decision::Deny(refusal) => Err(match refusal.reason {
            Reason::OtherTenant => no_tenant(owner.as_str()),
            _ => ApiError::new(StatusCode::FORBIDDEN, refusal.code(), refusal.to_string()),
        }),
    }
}

/// The answer for a tenant that isn't there, and for one that isn't the caller's.
pub(crate) fn no_tenant(name: &str) -> ApiError {
    ApiError::nothing_named("tenant", name)
}

/// The status of an answer. One of gRPC is always 200, and has its error along.
fn status(response: &Response) -> StatusCode {
    let error = response.extensions().get::<ApiError>();
    error.map_or(response.status(), ApiError::status)
}

/// A success that nobody was asked about must not leave.
fn checked(caller: &Caller, rule: Rule, response: Response) -> Response {
    let asks = matches!(rule, Rule::Asks(_));
    if asks && status(&response).is_success() && !caller.0.asked.load(Ordering::Relaxed) {
        return ApiError::internal(format!("a handler with the rule {rule:?} asked nobody")).into_response();
    }
    response
}

impl From<OverQuota> for ApiError {
    fn from(over: OverQuota) -> Self {
        use caisson_access::Quota;
        let status = match (over.quota, over.retry_after) {
            (Quota::UploadBytes, _) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
            (Quota::ConcurrentRequests | Quota::MemoryBytes, None) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INSUFFICIENT_STORAGE,
        };
        let error = Self::new(status, over.code(), over.to_string());
        match over.retry_after {
            Some(wait) => error.retry_after(wait),
            None => error,
        }
    }
}
