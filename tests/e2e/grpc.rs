//! gRPC: every method, errors with their codes, deadlines, access, health, reflection and stopping.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message as _;
use serde_json::{Value, json};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use crate::grpc_client::proto::*;
use crate::grpc_client::{Client, block_on, channel, client, client_at, raw, refused, typed, with_clip};
use crate::harness::{Keyed, Server, guest, one_column, plugin};

const SERVICE: &str = "inference.GRPCInferenceService";

fn clip() -> Value {
    json!([{"plugin": "clip", "config": {"columns": {"x": {"min": 0, "max": 1}}}}])
}

async fn index(client: &mut Client, ready: bool) -> Vec<(String, String, String)> {
    let request = RepositoryIndexRequest {
        ready,
        ..RepositoryIndexRequest::default()
    };
    let answer = client.repository_index(request).await.unwrap().into_inner();
    let entry = |m: repository_index_response::ModelIndex| (m.name, m.version, m.state);
    answer.models.into_iter().map(entry).collect()
}

fn entry(name: &str, version: &str, state: &str) -> (String, String, String) {
    (name.to_owned(), version.to_owned(), state.to_owned())
}

#[test]
fn every_method_answers() {
    let server = with_clip(&["--dev"]);
    block_on(async {
        let mut client = client(&server);
        assert!(
            client
                .server_live(ServerLiveRequest {})
                .await
                .unwrap()
                .into_inner()
                .live
        );
        assert!(
            client
                .server_ready(ServerReadyRequest {})
                .await
                .unwrap()
                .into_inner()
                .ready
        );
        let said = client
            .server_metadata(ServerMetadataRequest {})
            .await
            .unwrap()
            .into_inner();
        let over_rest = server.get("/v2").body;
        assert_eq!(json!(said.name), over_rest["name"]);
        assert_eq!(json!(said.extensions), over_rest["extensions"]);

        let named = |version: &str| ModelReadyRequest {
            name: "clipped".to_owned(),
            version: version.to_owned(),
        };
        assert!(client.model_ready(named("")).await.unwrap().into_inner().ready);
        assert!(client.model_ready(named("1")).await.unwrap().into_inner().ready);
        let (code, _, message) = refused(client.model_ready(named("7")).await);
        assert_eq!(code, Code::NotFound);
        assert!(message.contains("serves revision 1, not `7`"), "{message}");

        let request = ModelMetadataRequest {
            name: "clipped".to_owned(),
            ..ModelMetadataRequest::default()
        };
        let metadata = client.model_metadata(request).await.unwrap().into_inner();
        let over_rest = server.get("/v2/models/clipped").body;
        assert_eq!(json!(metadata.versions), over_rest["versions"]);
        assert_eq!(json!(metadata.platform), over_rest["platform"]);
        let input = &metadata.inputs[0];
        let input = json!([{"name": input.name, "datatype": input.datatype, "shape": input.shape}]);
        assert_eq!(input, over_rest["inputs"]);
        assert_eq!(metadata.outputs.len(), 1);

        let answer = client
            .model_infer(raw("clipped", &[-1.0, 7.0]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.raw_output_contents[0][..], [0, 0, 0, 0, 0, 0, 0x80, 0x3f]);
        let answer = client
            .model_infer(typed("clipped", &[-1.0, 7.0]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            answer.outputs[0].contents.as_ref().unwrap().fp32_contents,
            [0.0, 1.0]
        );

        let request = ModelConfigRequest {
            name: "clipped".to_owned(),
            ..ModelConfigRequest::default()
        };
        let config = client
            .model_config(request)
            .await
            .unwrap()
            .into_inner()
            .config
            .unwrap();
        assert_eq!((config.name.as_str(), config.max_batch_size), ("clipped", 65_536));
        let input = &config.input[0];
        assert_eq!(
            (input.name.as_str(), input.data_type()),
            ("x", DataType::TypeFp32)
        );
        assert_eq!((&input.dims[..], input.optional), (&[][..], true));
        assert_eq!(config.output[0].name, "x");
        assert!(matches!(
            config.scheduling_choice,
            Some(model_config::SchedulingChoice::DynamicBatching(_))
        ));

        for name in ["clipped", ""] {
            let request = ModelStatisticsRequest {
                name: name.to_owned(),
                ..ModelStatisticsRequest::default()
            };
            let statistics = client.model_statistics(request).await.unwrap().into_inner();
            let [of] = &statistics.model_stats[..] else {
                panic!("{statistics:?}");
            };
            assert_eq!((of.name.as_str(), of.version.as_str()), ("clipped", "1"));
            assert_eq!(of.inference_count, 4, "{of:?}");
            let success = of.inference_stats.as_ref().unwrap().success.unwrap();
            assert!(success.count == 2 && success.ns > 0, "{of:?}");
        }

        the_repository(&mut client).await;
        unknown_methods(&server).await;
    });
}

async fn the_repository(client: &mut Client) {
    assert_eq!(index(client, false).await, [entry("clipped", "1", "READY")]);
    let unload = RepositoryModelUnloadRequest {
        model_name: "clipped".to_owned(),
        ..RepositoryModelUnloadRequest::default()
    };
    client.repository_model_unload(unload).await.unwrap();
    assert_eq!(index(client, false).await, [entry("clipped", "", "UNAVAILABLE")]);
    assert_eq!(index(client, true).await, []);
    let (code, reason, _) = refused(client.model_infer(raw("clipped", &[1.0])).await);
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "unloaded"));
    let ready = ModelReadyRequest {
        name: "clipped".to_owned(),
        ..ModelReadyRequest::default()
    };
    assert!(!client.model_ready(ready).await.unwrap().into_inner().ready);

    let mut load = RepositoryModelLoadRequest {
        model_name: "clipped".to_owned(),
        ..RepositoryModelLoadRequest::default()
    };
    load.parameters
        .insert("config".to_owned(), ModelRepositoryParameter::default());
    let (code, reason, message) = refused(client.repository_model_load(load).await);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "bad-parameter"));
    assert!(message.contains("`config`"), "{message}");
    // As KServe's client says it, whose message has no repository.
    let load = RepositoryModelLoadRequest {
        repository_name: "clipped".to_owned(),
        ..RepositoryModelLoadRequest::default()
    };
    let loaded = client.repository_model_load(load).await.unwrap().into_inner();
    assert!(loaded.is_loaded && loaded.model_name == "clipped", "{loaded:?}");
    assert_eq!(index(client, true).await, [entry("clipped", "1", "READY")]);
    let load = RepositoryModelLoadRequest {
        model_name: "nope".to_owned(),
        ..RepositoryModelLoadRequest::default()
    };
    assert_eq!(
        refused(client.repository_model_load(load).await).0,
        Code::NotFound
    );
}

/// Clients probe for methods; what isn't there says so without a message.
async fn unknown_methods(server: &Server) {
    for path in [
        "/inference.GRPCInferenceService/TraceSetting",
        "/nobody.Service/Nothing",
    ] {
        let mut client = tonic::client::Grpc::new(channel(&server.url));
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<ServerLiveRequest, ServerLiveResponse>::default();
        let path = path.parse().unwrap();
        let status = client
            .unary(Request::new(ServerLiveRequest {}), path, codec)
            .await
            .unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, ""));
    }
}

#[test]
fn refusals_have_the_codes_of_their_kind() {
    let (server, operator) = Server::start_keyed();
    let (acme, umbra) = (operator.tenant("acme"), operator.tenant("umbra"));
    acme.push(&plugin("clip"));
    acme.deploy(&one_column("pricing", clip()));
    let viewer = acme.key_of("viewer");
    block_on(async {
        // Strangers learn that the server is there, and no more.
        let mut nobody = client_at(&server.url, None);
        assert!(
            nobody
                .server_live(ServerLiveRequest {})
                .await
                .unwrap()
                .into_inner()
                .live
        );
        nobody.server_ready(ServerReadyRequest {}).await.unwrap();
        nobody.server_metadata(ServerMetadataRequest {}).await.unwrap();
        for key in [None, Some("csn_forged"), Some("garbage")] {
            let mut nobody = client_at(&server.url, key);
            for (code, reason, message) in strangers(&mut nobody).await {
                assert_eq!(code, Code::Unauthenticated, "{message}");
                let expected = if key.is_none() { "no-key" } else { "key-malformed" };
                assert_eq!(reason, expected, "{message}");
            }
        }
        let mut acme_client = client(&acme);
        acme_client.model_infer(raw("pricing", &[9.0])).await.unwrap();

        // Another tenant's is what nobody has.
        let mut other = client(&umbra);
        for theirs in strangers(&mut other).await.into_iter().skip(1) {
            assert_eq!(
                (theirs.0, theirs.1.as_str()),
                (Code::NotFound, "not-found"),
                "{}",
                theirs.2
            );
            assert_eq!(theirs.2, "there is no deployment `pricing`");
        }
        assert_eq!(index(&mut other, false).await, []);

        let mut viewer = client(&viewer);
        viewer
            .model_metadata(ModelMetadataRequest {
                name: "pricing".to_owned(),
                ..Default::default()
            })
            .await
            .unwrap();
        let (code, _, message) = refused(viewer.model_infer(raw("pricing", &[1.0])).await);
        assert_eq!(code, Code::PermissionDenied, "{message}");
        assert!(message.contains("predictor"), "{message}");
        let unload = RepositoryModelUnloadRequest {
            model_name: "pricing".to_owned(),
            ..Default::default()
        };
        assert_eq!(
            refused(viewer.repository_model_unload(unload.clone()).await).0,
            Code::PermissionDenied
        );
        acme_client.repository_model_unload(unload).await.unwrap();
    });
    // Changes and refusals are in the audit log as those of HTTP are; refusals after a moment.
    let start = Instant::now();
    loop {
        let records = acme.get("/v1/audit?tail=100").body["records"].clone();
        let has = |action: &str, status: u64| {
            let mut all = records.as_array().unwrap().iter();
            all.any(|r| {
                r["action"] == action && r["status"] == status && r["resource"] == "deployment:pricing"
            })
        };
        if has("deployment:predict", 403) && has("deployment:unload", 403) && has("deployment:unload", 200) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{records:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What each method that needs a key answers about `pricing`; the index first.
async fn strangers(client: &mut Client) -> Vec<(Code, String, String)> {
    let name = || "pricing".to_owned();
    let mut all = Vec::new();
    let index = client.repository_index(RepositoryIndexRequest::default()).await;
    all.push(index.map_or_else(
        |status| refused::<()>(Err(status)),
        |_| (Code::Ok, String::new(), String::new()),
    ));
    all.push(refused(client.model_infer(raw("pricing", &[1.0])).await));
    all.push(refused(
        client
            .model_ready(ModelReadyRequest {
                name: name(),
                ..Default::default()
            })
            .await,
    ));
    all.push(refused(
        client
            .model_metadata(ModelMetadataRequest {
                name: name(),
                ..Default::default()
            })
            .await,
    ));
    all.push(refused(
        client
            .model_config(ModelConfigRequest {
                name: name(),
                ..Default::default()
            })
            .await,
    ));
    all.push(refused(
        client
            .model_statistics(ModelStatisticsRequest {
                name: name(),
                ..Default::default()
            })
            .await,
    ));
    let load = RepositoryModelLoadRequest {
        model_name: name(),
        ..Default::default()
    };
    all.push(refused(client.repository_model_load(load).await));
    let unload = RepositoryModelUnloadRequest {
        model_name: name(),
        ..Default::default()
    };
    all.push(refused(client.repository_model_unload(unload).await));
    all
}

#[test]
fn a_quota_says_when_to_come_back() {
    let (server, operator) = Server::start_keyed();
    let acme = operator.tenant("acme");
    acme.push(&plugin("clip"));
    acme.deploy(&one_column("pricing", clip()));
    let quotas = json!({"requests_per_second": 0.01, "requests_burst": 1});
    let set = operator.put(
        "/v1/tenants/acme/quotas",
        "application/json",
        quotas.to_string().as_bytes(),
    );
    assert_eq!(set.status, 200, "{set:?}");
    block_on(async {
        let mut client = client(&acme);
        for _ in 0..5 {
            let Err(status) = client.model_infer(raw("pricing", &[1.0])).await else {
                continue;
            };
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
            assert!(wait >= Duration::from_secs(1), "{wait:?}");
            return;
        }
        panic!("the quota was not met");
    });
    drop(server);
}

/// A deployment that computes until its own deadline.
fn deploy_loop(caller: &Keyed, deadline_ms: u64) {
    caller.push(&guest("hostile"));
    let stage = json!({
        "plugin": "hostile", "config": {"behave": "loop"}, "limits": {"deadline_ms": deadline_ms}
    });
    caller.deploy(&json!({"name": "loops", "input": [{"name": "x", "type": "fp32"}], "transforms": [stage]}));
}

/// Seconds that the tenant's plugins have computed, those of calls in progress too.
fn computed(server: &Server) -> f64 {
    let usage = server.get("/v1/tenants/default/usage").body;
    let seconds = usage["cpu_seconds"].as_f64();
    seconds.unwrap_or_else(|| panic!("{usage}"))
}

#[test]
fn deadlines_and_cancellations_stop_the_work() {
    let server = Server::start();
    deploy_loop(&server, 10_000);
    block_on(async {
        let mut client = client(&server);
        let start = Instant::now();
        let answer = call_of_old(&server, "300m", &raw("loops", &[1.0]));
        assert!(answer.contains("grpc-status: 4\r\n"), "{answer}");
        assert!(answer.contains("300ms%20passed"), "{answer}");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        stops(&server).await;

        let call = client.model_infer(raw("loops", &[1.0]));
        assert!(
            tokio::time::timeout(Duration::from_millis(300), call)
                .await
                .is_err()
        );
        stops(&server).await;

        let answer = call_of_old(&server, "soon", &raw("loops", &[1.0]));
        assert!(answer.contains("grpc-status: 3\r\n"), "{answer}");
    });
    // The stage's own deadline is a deadline too.
    deploy_loop(&server, 100);
    block_on(async {
        let (code, reason, message) = refused(client(&server).model_infer(raw("loops", &[1.0])).await);
        assert_eq!(code, Code::DeadlineExceeded, "{reason}: {message}");
        assert!(message.starts_with("transforms[0] hostile@"), "{message}");
    });
}

/// A call with a deadline of which the client itself knows nothing, so that it is the server that keeps
/// it. Over HTTP/1.1, where a refusal is in the headers.
fn call_of_old(server: &Server, patience: &str, message: &ModelInferRequest) -> String {
    let message = message.encode_to_vec();
    let mut call = format!(
        "POST /{SERVICE}/ModelInfer HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\
         grpc-timeout: {patience}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        message.len() + 5
    )
    .into_bytes();
    call.push(0);
    call.extend((message.len() as u32).to_be_bytes());
    call.extend(message);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(&call).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Nobody computes any more, long before the stage's own deadline.
async fn stops(server: &Server) {
    let start = Instant::now();
    loop {
        let before = computed(server);
        tokio::time::sleep(Duration::from_millis(300)).await;
        if computed(server) == before && before > 0.0 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(8), "it goes on");
    }
}

#[test]
fn messages_are_bounded_and_may_be_compressed() {
    let server = with_clip(&["--dev", "--grpc-message-bytes", "100000"]);
    let x = vec![0.5_f32; 20_000];
    block_on(async {
        let mut client = client(&server);
        client.model_infer(raw("clipped", &x)).await.unwrap();
        let large = vec![0.5_f32; 25_000];
        let (code, reason, message) = refused(client.model_infer(raw("clipped", &large)).await);
        assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "too-large"));
        assert!(message.contains("100000 bytes"), "{message}");

        let mut packed = client.send_compressed(tonic::codec::CompressionEncoding::Gzip);
        let answer = packed.model_infer(raw("clipped", &x)).await.unwrap().into_inner();
        assert_eq!(answer.raw_output_contents[0].len(), 80_000);
        let mut deflated = packed
            .clone()
            .send_compressed(tonic::codec::CompressionEncoding::Deflate);
        deflated.model_infer(raw("clipped", &x)).await.unwrap();
        // A few bytes that unpack to many.
        let bomb = vec![0.0_f32; 1 << 22];
        let (code, reason, message) = refused(packed.model_infer(raw("clipped", &bomb)).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::ResourceExhausted, "too-large"),
            "{message}"
        );
        // Where there are no tensors a message is small.
        let name = "n".repeat(300_000);
        let long = ModelReadyRequest {
            name,
            ..ModelReadyRequest::default()
        };
        assert_eq!(refused(packed.model_ready(long).await).0, Code::ResourceExhausted);
        assert!(packed.server_live(ServerLiveRequest {}).await.is_ok());
    });
}

#[test]
fn health_and_reflection() {
    let server = with_clip(&["--dev"]);
    block_on(async {
        let mut health = HealthClient::new(channel(&server.url));
        let of = |service: &str| HealthCheckRequest {
            service: service.to_owned(),
        };
        for service in ["", SERVICE] {
            let answer = health.check(of(service)).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving);
        }
        assert_eq!(refused(health.check(of("nobody")).await).0, Code::NotFound);
        let mut unknown = health.watch(of("nobody")).await.unwrap().into_inner();
        let first = unknown.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::ServiceUnknown);

        let mut reflection = ServerReflectionClient::new(channel(&server.url));
        let ask = |message_request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        };
        let requests = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol(format!(
                "{SERVICE}.ModelInfer"
            ))),
        ];
        let answers = reflection
            .server_reflection_info(futures_util::stream::iter(requests))
            .await;
        let mut answers = answers.unwrap().into_inner();
        let Some(MessageResponse::ListServicesResponse(list)) =
            answers.message().await.unwrap().unwrap().message_response
        else {
            panic!("no list of services");
        };
        let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
        for name in [
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        let Some(MessageResponse::FileDescriptorResponse(files)) =
            answers.message().await.unwrap().unwrap().message_response
        else {
            panic!("no description of the service");
        };
        assert!(!files.file_descriptor_proto.is_empty());
    });
}

#[test]
fn a_port_of_its_own() {
    let server = with_clip(&["--dev", "--grpc-listen", "127.0.0.1:0"]);
    let grpc = server.grpc.clone().unwrap();
    block_on(async {
        for url in [&grpc, &server.url] {
            let mut client = client_at(url, None);
            client.model_infer(raw("clipped", &[5.0])).await.unwrap();
        }
    });
    // There is nothing but gRPC.
    let mut other = server.with_key(None);
    other.url = grpc;
    let answer = other.get("/v2/health/live");
    assert_eq!(
        (answer.status, answer.error()),
        (404, "on this port there is gRPC alone")
    );
}

#[test]
fn stopping_finishes_what_is_in_flight_and_ends_watches() {
    let server = Server::start_draining(tempfile::tempdir().unwrap(), 1);
    deploy_loop(&server, 3_000);
    block_on(async {
        let mut health = HealthClient::new(channel(&server.url));
        let mut watch = health
            .watch(HealthCheckRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            watch.message().await.unwrap().unwrap().status(),
            ServingStatus::Serving
        );
        let mut client = client(&server);
        // The connection is there before the server stops accepting.
        client.server_live(ServerLiveRequest {}).await.unwrap();
        let call = tokio::spawn(async move { client.model_infer(raw("loops", &[1.0])).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.terminate();
        assert_eq!(
            watch.message().await.unwrap().unwrap().status(),
            ServingStatus::NotServing
        );
        assert!(watch.message().await.unwrap().is_none());
        // Its answer, after the server has stopped accepting, is the plugin's deadline and no broken
        // connection.
        let (code, reason, message) = refused(call.await.unwrap());
        assert_eq!(code, Code::DeadlineExceeded, "{reason}: {message}");
        assert!(message.starts_with("transforms[0] hostile@"), "{message}");
    });
    server.stop();
}
