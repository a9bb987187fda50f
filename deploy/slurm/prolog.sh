#!/usr/bin/env bash
# Prolog of slurmd (slurm.conf: Prolog=..., PrologFlags=Alloc).
# Starts a monitor beside a job, outside its cgroup, on the job's first node. A Prolog that fails
# drains its node, so this one always succeeds: no training is held up for want of a monitor.

program=${TRAINING_HEALTH_PROGRAM:-/opt/training-health/bin/monitor}
logs=${TRAINING_HEALTH_LOGS:-/shared/runs}/$SLURM_JOB_ID
targets=${TRAINING_HEALTH_TARGETS:-/shared/training-health/targets}
port=$((20000 + SLURM_JOB_ID % 10000))
host=$(hostname -s)

start() {
    first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1) || return
    [ "$first" = "$host" ] || return 0
    mkdir -p "$logs" "$targets"
    chown "$SLURM_JOB_UID" "$logs"
    systemd-run --quiet --collect --unit="training-health-$SLURM_JOB_ID" --uid="$SLURM_JOB_UID" \
        --nice=10 --property=MemoryMax=512M --property=CPUQuota=50% \
        "$program" watch "$logs" --listen "0.0.0.0:$port" --log-format json || return
    # For a file_sd_configs of Prometheus; renamed, so that it is never half there.
    printf '[{"targets": ["%s:%s"], "labels": {"slurm_job": "%s"}}]\n' "$host" "$port" "$SLURM_JOB_ID" \
        >"$targets/.$SLURM_JOB_ID" && mv "$targets/.$SLURM_JOB_ID" "$targets/$SLURM_JOB_ID.json"
}

start || logger -t training-health "job $SLURM_JOB_ID has no monitor"
exit 0
