"""What becomes of each setting of TRL when an algorithm collects: every field has its decision.

A setting that says what this project says itself is read, one that would contradict it is refused
by name, and the rest is handed on to TRL and transformers. A new release of TRL may have fields of
which nobody has decided anything: a test finds them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

from cpi_theory.checks import InvalidInput, choose_among
from cpi_theory.seam import Algorithm
from llm.training.settings import Aggregation, LossSettings

READ: Mapping[str, str] = {
    "num_generations": "must be the algorithm's rows per prompt",
    "num_generations_eval": "rollouts per prompt of an evaluation",
    "max_completion_length": "most tokens per solution, kept thoughts included",
    "shuffle_dataset": "whether each pass through the data has an order of its own",
    "temperature": "of rollouts and loss",
    "top_p": "of rollouts; log-probabilities are those before it, as in TRL",
    "chat_template_kwargs": "of conversational prompts",
    "use_vllm": "sample with TRL's engine",
    "vllm_importance_sampling_correction": "always on: the loss's own ratio is to what the engine "
    "sampled with, and clipped",
    "beta": "weight of the KL divergence to the start model",
    "use_bias_correction_kl": "weight of that term by the ratio",
    "epsilon": "lower end of the ratio's range, and upper without epsilon_high",
    "epsilon_high": "upper end",
    "loss_type": "grpo, dapo or dr_grpo",
    "scale_rewards": "must say what the algorithm's normalization says",
    "reward_weights": "of the reward functions",
    "router_aux_loss_coef": "0 for mixtures of experts, whose routing has no loss of its own here",
    "seed": "of all randomness",
    "log_completions": "samples that were learned from, with their mean advantage",
}
"""Fields that this project reads, and as what."""

# Beside each: what to do instead.
REFUSED: Mapping[str, str] = {
    # Sampling: a law that the log-probabilities know nothing of.
    "top_k": "leave it at 0, or lower top_p",
    "min_p": "leave it out, or lower top_p",
    "repetition_penalty": "leave it at 1",
    "generation_kwargs": "set temperature, top_p and max_completion_length",
    "cache_implementation": "leave it out: the sampler keeps its own cache",
    "use_transformers_continuous_batching": "leave it off: the sampler batches by itself",
    "transformers_continuous_batching_config": "leave it out: the sampler batches by itself",
    "use_transformers_paged": "leave it off: the sampler batches by itself",
    "vllm_structured_outputs_regex": "leave it out: what it forbids has a probability for the loss",
    "ds3_gather_for_generation": "leave it on",
    # The loss.
    "delta": "leave it out: the ratio is clipped by epsilon and epsilon_high",
    "importance_sampling_level": 'leave it at "token": credit is given to thoughts',
    "mask_truncated_completions": "leave it off: a suffix group compares what was cut off, too",
    "multi_objective_aggregation": 'leave it at "sum_then_normalize", or weigh the functions',
    "sync_ref_model": "leave it off: the KL term is to the model that training began with",
    "ref_model_mixup_alpha": "leave it at its default: the reference stays as it is",
    "ref_model_sync_steps": "leave it at its default: the reference stays as it is",
    "top_entropy_quantile": "leave it at 1: all tokens of a thought share its advantage",
    "entropy_coef": "leave it at 0",
    "use_adaptive_entropy": "leave it off",
    "entropy_coef_min": "leave it at its default: there is no such term",
    "entropy_coef_max": "leave it at its default: there is no such term",
    "entropy_coef_delta": "leave it at its default: there is no such term",
    "entropy_target": "leave it at its default: there is no such term",
    "sapo_temperature_neg": "leave it at its default: that loss is not offered",
    "sapo_temperature_pos": "leave it at its default: that loss is not offered",
    "vespo_k_pos": "leave it at its default: that loss is not offered",
    "vespo_lambda_pos": "leave it at its default: that loss is not offered",
    "vespo_k_neg": "leave it at its default: that loss is not offered",
    "vespo_lambda_neg": "leave it at its default: that loss is not offered",
    "off_policy_mask_threshold": "leave it out: the ratio is clipped by epsilon",
    "vllm_importance_sampling_mode": "leave it at its default: the ratio is clipped by epsilon",
    "vllm_importance_sampling_clip_max": "leave it at its default: the ratio is clipped by epsilon",
    "vllm_importance_sampling_clip_min": "leave it out: the ratio is clipped by epsilon",
    "vllm_importance_sampling_cap": "leave it out: the ratio is clipped by epsilon",
    "label_smoothing_factor": "leave it at 0: there are no labels",
    "label_names": "leave it out: there are no labels",
    "neftune_noise_alpha": "leave it out: what is sampled has no such noise",
    # Data and numbers.
    "remove_unused_columns": "leave it off, and take columns out of the data set",
    "pad_to_multiple_of": "leave it out: rows are padded to the longest",
    "max_tool_calling_iterations": "leave it out: solutions are single turns",
    "log_multimodal": "leave it on: there are texts alone",
    "train_sampling_strategy": "leave it at its default, and set shuffle_dataset",
    "length_column_name": "leave it at its default: rows are not grouped by length",
    "data_seed": "leave it out: seed covers the data",
    "fp16": "use bf16, or neither",
    "fp16_full_eval": "leave it off: evaluations sample as training does",
    "bf16_full_eval": "leave it off: evaluations sample as training does",
    "auto_find_batch_size": "lower per_device_train_batch_size instead",
    "parallelism_config": "leave it out",
    "include_for_metrics": "leave it empty: evaluations report rewards",
    "batch_eval_metrics": "leave it off: evaluations report rewards",
}
"""Fields that must keep their defaults; beside each what to do instead."""

_SHARDED = ("fsdp", "fsdp_config", "deepspeed")
"""Ways to spread weights, which TRL's vLLM engine is given whole and our own sampler is not."""

HANDED_ON = frozenset(
    [
        "accelerator_config",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "average_tokens_across_devices",
        "bf16",
        "cast_lm_head_to_fp32",
        "dataloader_drop_last",
        "dataloader_in_order",
        "dataloader_multiprocessing_context",
        "dataloader_num_workers",
        "dataloader_persistent_workers",
        "dataloader_pin_memory",
        "dataloader_prefetch_factor",
        "ddp_backend",
        "ddp_broadcast_buffers",
        "ddp_bucket_cap_mb",
        "ddp_find_unused_parameters",
        "ddp_static_graph",
        "ddp_timeout",
        "debug",
        "disable_dropout",
        "disable_tqdm",
        "do_eval",
        "do_predict",
        "do_train",
        "enable_jit_checkpoint",
        "eval_accumulation_steps",
        "eval_delay",
        "eval_do_concat_batches",
        "eval_on_start",
        "eval_steps",
        "eval_strategy",
        "eval_use_gather_object",
        "full_determinism",
        "generation_batch_size",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "greater_is_better",
        "hub_always_push",
        "hub_model_id",
        "hub_private_repo",
        "hub_revision",
        "hub_strategy",
        "hub_token",
        "ignore_data_skip",
        "include_num_input_tokens_seen",
        "learning_rate",
        "liger_kernel_config",
        "load_best_model_at_end",
        "local_rank",
        "log_completions_hub_repo",
        "log_level",
        "log_level_replica",
        "log_on_each_node",
        "log_unique_prompts",
        "logging_first_step",
        "logging_nan_inf_filter",
        "logging_steps",
        "logging_strategy",
        "lr_scheduler_kwargs",
        "lr_scheduler_type",
        "max_grad_norm",
        "max_steps",
        "metric_for_best_model",
        "model_init_kwargs",
        "num_completions_to_print",
        "num_iterations",
        "num_train_epochs",
        "optim",
        "optim_args",
        "optim_target_modules",
        "output_dir",
        "per_device_eval_batch_size",
        "per_device_train_batch_size",
        "prediction_loss_only",
        "project",
        "push_to_hub",
        "report_to",
        "restore_callback_states_from_checkpoint",
        "resume_from_checkpoint",
        "run_name",
        "save_on_each_node",
        "save_only_model",
        "save_steps",
        "save_strategy",
        "save_total_limit",
        "skip_memory_metrics",
        "steps_per_generation",
        "tf32",
        "torch_compile",
        "torch_compile_backend",
        "torch_compile_mode",
        "torch_empty_cache_steps",
        "trackio_bucket_id",
        "trackio_space_id",
        "trackio_static_space_id",
        "trust_remote_code",
        "use_cache",
        "use_cpu",
        "use_liger_kernel",
        "vllm_enable_sleep_mode",
        "vllm_gpu_memory_utilization",
        "vllm_group_port",
        "vllm_max_model_length",
        "vllm_mode",
        "vllm_model_impl",
        "vllm_server_base_url",
        "vllm_server_host",
        "vllm_server_port",
        "vllm_server_timeout",
        "vllm_tensor_parallel_size",
        "warmup_steps",
        "weight_decay",
    ]
) | frozenset(_SHARDED)
"""Fields that TRL and transformers read as they always do."""

_AGGREGATIONS: Mapping[str, Aggregation] = {
    "grpo": "sequence-mean",
    "dapo": "token-mean",
    "dr_grpo": "constant",
}

_SCALES = {"std": "group", "none": "none", "leave-one-out": "none"}
"""TRL's word for each normalisation of ours: whether a group's deviation is divided by."""

_EQUIVALENT = {"pad_to_multiple_of": (None, "auto")}
"""Values other than the default that say the same."""


def check_arguments(args: GRPOConfig, algorithm: Algorithm) -> None:
    """Refuse settings of TRL that contradict the algorithm or that nothing here would follow.

    Args:
        args: the settings.
        algorithm: what collects.

    Raises:
        InvalidInput: naming the setting, and what to do instead.
    """
    for field in dataclasses.fields(args):
        remedy, value = REFUSED.get(field.name), getattr(args, field.name)
        if remedy is not None and value not in _EQUIVALENT.get(field.name, (_default(field),)):
            problem = "not followed where an algorithm collects"
            raise InvalidInput(f"args.{field.name}", value, problem, remedy)
    _check_algorithm(args, algorithm)
    for name in _SHARDED:
        if getattr(args, name) and not args.use_vllm and not _is_default(args, name):
            problem = "spreads the weights, of which the sampler needs all"
            remedy = "sample with use_vllm=True, or train on each device with a whole copy"
            raise InvalidInput(f"args.{name}", getattr(args, name), problem, remedy)


def _check_algorithm(args: GRPOConfig, algorithm: Algorithm) -> None:
    rows, name = algorithm.rows_per_prompt, type(algorithm).__name__
    if args.num_generations != rows:
        problem = f"{name} learns from {rows} rows per prompt"
        remedy = f"set it to {rows}, or change the algorithm's rollouts"
        raise InvalidInput("args.num_generations", args.num_generations, problem, remedy)
    normalization = getattr(algorithm, "normalization", "std")
    scale = _SCALES.get(normalization)
    if scale is not None and args.scale_rewards != scale:
        problem = f'{name} has normalization = "{normalization}"'
        remedy = f'set it to "{scale}", or change the normalization of the algorithm'
        raise InvalidInput("args.scale_rewards", args.scale_rewards, problem, remedy)
    if args.router_aux_loss_coef:
        remedy = "set it to 0: the loss has no such term"
        value = args.router_aux_loss_coef
        raise InvalidInput("args.router_aux_loss_coef", value, "not followed", remedy)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _is_default(args: GRPOConfig, name: str) -> bool:
    untouched = GRPOConfig(str(args.output_dir), use_cpu=args.use_cpu, bf16=args.bf16)
    return bool(getattr(args, name) == getattr(untouched, name))


def loss_settings(args: GRPOConfig) -> LossSettings:
    """Return the loss that TRL's settings ask for.

    TRL's loss with ratios clipped, whatever the number of updates from a batch: in the first of
    them its gradient is that of REINFORCE.

    Raises:
        InvalidInput: if it is none that this project has, or a number is out of its range.

    Source: https://huggingface.co/docs/trl (``loss_type``).
    """
    if args.loss_type not in _AGGREGATIONS:
        remedy = choose_among(args.loss_type, _AGGREGATIONS)
        raise InvalidInput("args.loss_type", args.loss_type, "not offered here", remedy)
    rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    return LossSettings(
        kind="clipped",
        aggregation=_AGGREGATIONS[args.loss_type],
        clip_low=args.epsilon,
        clip_high=args.epsilon if args.epsilon_high is None else args.epsilon_high,
        # Dr. GRPO divides by the longest completion and by the rows of an update.
        constant=float(rows * (args.max_completion_length or 1)),
        temperature=args.temperature,
        kl=args.beta,
        kl_weighted=args.use_bias_correction_kl,
    )
