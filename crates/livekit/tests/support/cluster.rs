//! Two LiveKit servers that are nodes of one cluster, and their Redis.

use frontdesk_simulators::stack::Redis;
use tempfile::TempDir;

use super::server::Server;

pub struct Cluster {
    pub redis: Redis,
    pub first: Server,
    pub second: Server,
    /// The nodes' ids, in the same order.
    pub ids: [String; 2],
    _folder: TempDir,
}

impl Cluster {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let redis = Redis::start(folder.path()).await.unwrap_or_else(|error| panic!("Redis: {error}"));
        let first = Server::start_with(|options| options.redis = Some(redis.address())).await;
        let [first_id] = nodes(&redis).await.try_into().expect("one node has registered");
        let second = Server::start_with(|options| options.redis = Some(redis.address())).await;
        let second_id = nodes(&redis).await.into_iter().find(|id| *id != first_id).expect("the other has registered, too");
        Self { redis, first, second, ids: [first_id, second_id], _folder: folder }
    }
}

async fn nodes(redis: &Redis) -> Vec<String> {
    redis.nodes().await.unwrap_or_else(|error| panic!("Redis: {error}"))
}
