//! `wasi:nn` for predictors: named models that the host runs.
//!
//! The bindings are our own over the vendored WIT, rather than `wasmtime-wasi-nn`'s: `compute` is
//! asynchronous, so that a guest which waits for the batcher holds no thread, and the guest gets
//! the backend's error text. `load` from bytes is always refused; `load-by-name` reaches what the
//! stage was granted and nothing else; both, and every tensor, are refused outside `predict`.
//! Handles and the bytes of live tensors are bounded.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::graph::{Graph, GraphError, GraphErrorCode, GraphTensor, Graphs};
use crate::guest::{Fault, Guest, Phase};

/// Tensors of one `compute`, each way. Models in the field have tens.
pub const TENSORS_PER_COMPUTE_MAX: usize = 1024;

mod bindings {
    #![allow(missing_docs, reason = "generated; the WIT documents it")]
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasi-nn",
        world: "ml",
        imports: {
            "wasi:nn/inference.[method]graph-execution-context.compute": async | trappable,
            default: trappable,
        },
        with: {
            "wasi:nn/tensor.tensor": crate::graph::GraphTensor,
            "wasi:nn/graph.graph": super::LoadedGraph,
            "wasi:nn/inference.graph-execution-context": super::LoadedGraph,
            "wasi:nn/errors.error": crate::graph::GraphError,
        },
    });
}

pub(crate) use bindings::wasi::nn::{errors, graph, inference, tensor};

/// A graph and an execution context are the same thing here: sessions are stateless.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct LoadedGraph(Arc<dyn Graph>);

/// The models of one instance.
pub(crate) struct Models {
    graphs: Option<Arc<dyn Graphs>>,
    tensor_bytes: usize,
    tensor_bytes_max: usize,
}

impl Models {
    pub(crate) fn new(graphs: Option<Arc<dyn Graphs>>, tensor_bytes_max: usize) -> Self {
        Self {
            graphs,
            tensor_bytes: 0,
            tensor_bytes_max,
        }
    }
}

/// What the host functions below work on.
struct View<'a> {
    models: &'a mut Models,
    table: &'a mut ResourceTable,
    phase: Phase,
}

impl View<'_> {
    /// Models belong to `predict`: a snapshot can't hold them.
    fn in_predict(&self) -> wasmtime::Result<()> {
        match self.phase.outside_call() {
            None => Ok(()),
            Some(function) => Err(Fault::ModelsOutsidePredict(function).into()),
        }
    }

    fn push<T: Send + 'static>(&mut self, entry: T) -> wasmtime::Result<Resource<T>> {
        self.table
            .push(entry)
            .map_err(|e| Fault::Handles(e.to_string()).into())
    }

    fn push_tensor(&mut self, tensor: GraphTensor) -> wasmtime::Result<Resource<GraphTensor>> {
        let bytes = self.models.tensor_bytes.saturating_add(tensor.data.len());
        if bytes > self.models.tensor_bytes_max {
            return Err(Fault::Handles(format!(
                "tensors of more than {} bytes",
                self.models.tensor_bytes_max
            ))
            .into());
        }
        self.models.tensor_bytes = bytes;
        self.push(tensor)
    }

    fn take_tensor(&mut self, tensor: Resource<GraphTensor>) -> wasmtime::Result<GraphTensor> {
        let tensor = self.table.delete(tensor)?;
        self.models.tensor_bytes = self.models.tensor_bytes.saturating_sub(tensor.data.len());
        Ok(tensor)
    }

    fn refuse<T>(&mut self, error: GraphError) -> wasmtime::Result<Result<T, Resource<GraphError>>> {
        Ok(Err(self.push(error)?))
    }
}

impl tensor::Host for View<'_> {}

impl tensor::HostTensor for View<'_> {
    fn new(
        &mut self,
        dims: Vec<u32>,
        ty: tensor::TensorType,
        data: Vec<u8>,
    ) -> wasmtime::Result<Resource<GraphTensor>> {
        self.in_predict()?;
        self.push_tensor(GraphTensor {
            dims,
            ty: ty.into(),
            data,
        })
    }

    fn dimensions(&mut self, tensor: Resource<GraphTensor>) -> wasmtime::Result<Vec<u32>> {
        Ok(self.table.get(&tensor)?.dims.clone())
    }

    fn ty(&mut self, tensor: Resource<GraphTensor>) -> wasmtime::Result<tensor::TensorType> {
        Ok(self.table.get(&tensor)?.ty.into())
    }

    fn data(&mut self, tensor: Resource<GraphTensor>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&tensor)?.data.clone())
    }

    fn drop(&mut self, tensor: Resource<GraphTensor>) -> wasmtime::Result<()> {
        self.take_tensor(tensor).map(drop)
    }
}

impl graph::Host for View<'_> {
    fn load(
        &mut self,
        _: Vec<Vec<u8>>,
        _: graph::GraphEncoding,
        _: graph::ExecutionTarget,
    ) -> wasmtime::Result<Result<Resource<LoadedGraph>, Resource<GraphError>>> {
        self.in_predict()?;
        self.refuse(GraphError::new(
            GraphErrorCode::Security,
            "models can't be loaded from bytes: register the model, grant it to the deployment and load it by name",
        ))
    }

    fn load_by_name(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<LoadedGraph>, Resource<GraphError>>> {
        self.in_predict()?;
        let loaded = match &self.models.graphs {
            Some(graphs) => graphs.load_by_name(&name),
            None => Err(GraphError::new(
                GraphErrorCode::NotFound,
                "the stage was granted no model",
            )),
        };
        match loaded {
            Ok(graph) => Ok(Ok(self.push(LoadedGraph(graph))?)),
            Err(error) => self.refuse(error),
        }
    }
}

impl graph::HostGraph for View<'_> {
    fn init_execution_context(
        &mut self,
        graph: Resource<LoadedGraph>,
    ) -> wasmtime::Result<Result<Resource<LoadedGraph>, Resource<GraphError>>> {
        let graph = Arc::clone(&self.table.get(&graph)?.0);
        Ok(Ok(self.push(LoadedGraph(graph))?))
    }

    fn drop(&mut self, graph: Resource<LoadedGraph>) -> wasmtime::Result<()> {
        self.table.delete(graph)?;
        Ok(())
    }
}

impl inference::Host for View<'_> {}

impl inference::HostGraphExecutionContext for View<'_> {
    async fn compute(
        &mut self,
        context: Resource<LoadedGraph>,
        inputs: Vec<(String, Resource<GraphTensor>)>,
    ) -> wasmtime::Result<Result<Vec<(String, Resource<GraphTensor>)>, Resource<GraphError>>> {
        let graph = Arc::clone(&self.table.get(&context)?.0);
        let mut tensors = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            tensors.push((name, self.take_tensor(tensor)?));
        }
        if let Some(error) = check(&tensors) {
            return self.refuse(error);
        }
        let outputs = match graph.compute(tensors).await {
            Ok(outputs) => outputs,
            Err(error) => return self.refuse(error),
        };
        let mut named = Vec::with_capacity(outputs.len());
        for (name, tensor) in outputs {
            named.push((name, self.push_tensor(tensor)?));
        }
        Ok(Ok(named))
    }

    fn drop(&mut self, context: Resource<LoadedGraph>) -> wasmtime::Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

fn check(tensors: &[(String, GraphTensor)]) -> Option<GraphError> {
    let bad = |message| Some(GraphError::new(GraphErrorCode::InvalidArgument, message));
    if tensors.len() > TENSORS_PER_COMPUTE_MAX {
        return bad(format!(
            "{} inputs; at most {TENSORS_PER_COMPUTE_MAX} are allowed",
            tensors.len()
        ));
    }
    let (name, tensor) = tensors
        .iter()
        .find(|(_, t)| t.expected_bytes() != Some(t.data.len()))?;
    bad(format!(
        "input `{name}`: {} bytes of {:?} don't fill the shape {:?}",
        tensor.data.len(),
        tensor.ty,
        tensor.dims
    ))
}

impl errors::Host for View<'_> {}

impl errors::HostError for View<'_> {
    fn code(&mut self, error: Resource<GraphError>) -> wasmtime::Result<errors::ErrorCode> {
        Ok(self.table.get(&error)?.code.into())
    }

    fn data(&mut self, error: Resource<GraphError>) -> wasmtime::Result<String> {
        Ok(self.table.get(&error)?.message.clone())
    }

    fn drop(&mut self, error: Resource<GraphError>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

struct HasView;

impl HasData for HasView {
    type Data<'a> = View<'a>;
}

/// Offer `wasi:nn`.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    fn view(guest: &mut Guest) -> View<'_> {
        View {
            models: &mut guest.models,
            table: &mut guest.table,
            phase: guest.phase,
        }
    }
    tensor::add_to_linker::<_, HasView>(linker, view)?;
    graph::add_to_linker::<_, HasView>(linker, view)?;
    inference::add_to_linker::<_, HasView>(linker, view)?;
    errors::add_to_linker::<_, HasView>(linker, view)
}
