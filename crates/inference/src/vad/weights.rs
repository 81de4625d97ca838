//! The weights of Silero's file: the initialisers of an ONNX graph (onnx.proto, `ModelProto.graph.initializer`), and nothing else of it.

use std::collections::HashMap;

use prost::Message;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    /// Little-endian.
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// Tensors of a model by name.
#[derive(Debug)]
pub(super) struct Weights(HashMap<String, TensorProto>);

impl Weights {
    /// # Errors
    /// The file is no ONNX model.
    pub(super) fn parse(model: &[u8]) -> Result<Self, String> {
        let model = ModelProto::decode(model).map_err(|error| error.to_string())?;
        let tensors = model.graph.unwrap_or_default().initializer;
        Ok(Self(tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect()))
    }

    /// The numbers of one tensor, row after row, whose shape must be this.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.0.get(name).ok_or_else(|| format!("the model has no tensor {name}"))?;
        let found: Vec<usize> = tensor.dims.iter().map(|dim| usize::try_from(*dim).unwrap_or_default()).collect();
        if found != shape || tensor.data_type != FLOAT {
            return Err(format!("tensor {name} has shape {found:?} and type {}, not {shape:?} of floats", tensor.data_type));
        }
        let (numbers, rest) = tensor.raw_data.as_chunks::<4>();
        if numbers.len() != shape.iter().product::<usize>() || !rest.is_empty() {
            return Err(format!("tensor {name} holds {} bytes", tensor.raw_data.len()));
        }
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}
