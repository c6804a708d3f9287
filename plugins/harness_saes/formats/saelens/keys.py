"""The keys of a SAELens configuration: those that decide numbers, and those that only tell of it.

A key that is in none of these lists is refused: it could change the numbers.
"""

from __future__ import annotations

from harness_saes.core.checks import words

DECIDING = words("""
    architecture d_in d_sae k apply_b_dec_to_input normalize_activations reshape_activations
    rescale_acts_by_decoder_norm metadata
""")
"""What version 6 reads when an SAE encodes or decodes."""

FLAT = words("""
    activation_fn activation_fn_str activation_fn_kwargs finetuning_scaling_factor hook_name
    hook_point hook_head_index hook_point_head_index hook_name_out hook_head_index_out model_name
    neuronpedia_id
""")
"""What the flat form before version 6 had beside that. `finetuning_scaling_factor` says nothing
that the tensor `scaling_factor` does not, which is looked at instead, as sae_lens does."""

_RUN = words("""
    device dtype seed sae_lens_version sae_lens_training_version model_class_name model_kwargs
    model_from_pretrained_kwargs hook_layer hook_eval hook_point_layer hook_point_eval
    hook_layer_out hf_hook_name hf_hook_name_out
    prepend_bos exclude_special_tokens context_size seqpos_slice dataset_path
    dataset_trust_remote_code streaming is_dataset_tokenized use_chat_formatting
    use_cached_activations cached_activations_path from_pretrained_path n_batches_in_buffer
    training_tokens total_training_tokens store_batch_size store_batch_size_prompts
    tokens_per_buffer disable_concat_sequences sequence_separator_token
    activations_mixing_fraction llm_device act_store_device prefetch_llm_batches autocast
    autocast_lm compile_llm llm_compilation_mode compile_sae sae_compilation_mode
    train_batch_size train_batch_size_tokens adam_beta1 adam_beta2 lr lr_scheduler_name
    lr_warm_up_steps lr_end lr_decay_steps n_restart_cycles dead_feature_window
    dead_feature_threshold dead_feature_estimation_method feature_sampling_window
    feature_sampling_method feature_reinit_scale n_eval_batches eval_batch_size_prompts
    n_checkpoints checkpoint_path save_final_checkpoint output_path resume
    resume_from_checkpoint verbose run_name unique_id logger log_to_wandb
    log_activations_store_to_wandb log_optimizer_state_to_wandb log_weights_to_wandb
    wandb_project wandb_id wandb_entity wandb_log_frequency eval_every_n_wandb_logs
    n_batches_for_norm_estimate
""")
_LOSS = words("""
    l1_coefficient l1_warm_up_steps lp_norm l0_coefficient l0_warm_up_steps target_l0 l0_lambda
    use_ghost_grads mse_loss_normalization noise_scale normalize_sae_decoder
    scale_sparsity_penalty_by_decoder_norm decoder_orthogonal_init decoder_heuristic_init
    decoder_heuristic_init_norm decoder_init_norm init_encoder_as_decoder_transpose
    b_dec_init_method expansion_factor finetuning_method finetuning_tokens
    jumprelu_init_threshold jumprelu_bandwidth jumprelu_sparsity_loss_mode jumprelu_tanh_scale
    jumprelu_ste_to_input pre_act_loss_coefficient aux_loss_coefficient use_sparse_activations
    topk_threshold_lr matryoshka_widths use_matryoshka_aux_loss initial_k
    lambda_warm_steps
""")
TRAINING = _RUN | _LOSS
"""How an SAE was trained, on which model and data, and how it was started: of every version."""
