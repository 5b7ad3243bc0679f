# What every shell and every Ray process on a node of a cluster has in its environment: source it.
#
# cluster/setup makes ~/.bashrc and ~/.profile source it, interactive or not, so that `ray stop`
# and `harness run` are found over SSH too; the start commands of cluster/*.yaml source it before
# `ray start`, so that shards, agents and samplers have it. What is set already stays.

: "${HARNESS_CHECKOUT:=$HOME/agent-memory-harness}"

# cluster/bin has a `ray` that stops the whole of a cluster of listed hosts.
case ":$PATH:" in
*":$HARNESS_CHECKOUT/cluster/bin:"*) ;;
*) PATH=$HARNESS_CHECKOUT/cluster/bin:$HARNESS_CHECKOUT/.venv/bin:$PATH ;;
esac

# Nobody joins, submits or looks without the token in ~/.ray/auth_token.
: "${RAY_AUTH_MODE:=token}"
# Ray's default autoscaler (v2) starts no workers of hosts that are listed.
: "${RAY_enable_autoscaler_v2:=0}"
: "${RAY_USAGE_STATS_ENABLED:=0}"
# As in a Ray of the harness's own: metrics that nobody reads cost CPU that is being measured.
: "${RAY_enable_metrics_collection:=0}"
: "${RAY_event_stats:=0}"
: "${RAY_DEDUP_LOGS:=0}"
# The autoscaler's own metrics, which it would serve to whoever reaches the head, have no port.
: "${AUTOSCALER_METRIC_PORT:=-1}"
: "${RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO:=0}"
: "${OMP_NUM_THREADS:=1}"
: "${OPENBLAS_NUM_THREADS:=1}"
export PATH HARNESS_CHECKOUT RAY_AUTH_MODE RAY_enable_autoscaler_v2 RAY_USAGE_STATS_ENABLED \
    RAY_enable_metrics_collection RAY_event_stats RAY_DEDUP_LOGS AUTOSCALER_METRIC_PORT \
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO OMP_NUM_THREADS OPENBLAS_NUM_THREADS

# Where shards keep their databases: the folder that cluster/setup was told.
if [ -z "${MEMORY_CORE_DATA_DIR-}" ]; then
    MEMORY_CORE_DATA_DIR=$HOME/.memory_core/data
    if [ -f "$HOME/.agent-memory-harness/data_dir" ]; then
        MEMORY_CORE_DATA_DIR=$(cat "$HOME/.agent-memory-harness/data_dir")
    fi
fi
export MEMORY_CORE_DATA_DIR

# On the head, whose start command leaves this file, commands use the cluster.
if [ -z "${RAY_ADDRESS-}" ] && [ -f "$HOME/.agent-memory-harness/ray_address" ]; then
    RAY_ADDRESS=$(cat "$HOME/.agent-memory-harness/ray_address")
    export RAY_ADDRESS
fi
