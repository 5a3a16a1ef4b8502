"""apply_lora on a small Llama: PEFT's own results, its checkpoints, and what must stay PEFT's."""

import copy
import io
import pickle
import tempfile
import unittest

from harness import close, error, main, refused, skip
import sightline
import torch

try:
    import peft
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError as missing:
    skip(f"no {missing.name} here")

LINEARS = 14  # q, k, v, o, gate, up, down of two blocks
IDS = torch.arange(24).view(2, 12) * 5 % 97


def llama(dtype=torch.float32):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=97, hidden_size=64, intermediate_size=176, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)).to(dtype)


def adapted(dtype=torch.float32, dropout=0.0, targets="all-linear", **options):
    model = peft.get_peft_model(llama(dtype), peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=targets, lora_dropout=dropout, **options))
    for name, p in model.named_parameters():
        if "lora_B" in name:  # zero at first: nothing to see
            torch.nn.init.normal_(p, std=0.1)
    return model


def logits(model):
    return model(input_ids=IDS).logits.detach()


def run(model, call=None):
    """Loss and gradients; the random numbers are always the same."""
    torch.manual_seed(5)
    model.zero_grad()
    loss = (model if call is None else call)(input_ids=IDS, labels=IDS).loss
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def calls(model):
    """How many linears went through our operators."""
    seen = []
    own = sightline.lora_linear, sightline.lora_delta
    sightline.lora_linear, sightline.lora_delta = (
        lambda *args, call=call: (seen.append(call), call(*args))[1] for call in own)
    try:
        model(input_ids=IDS)
    finally:
        sightline.lora_linear, sightline.lora_delta = own
    return len(seen)


class Peft(unittest.TestCase):
    def agrees(self, model, call=None, count=LINEARS):
        """Loss and every gradient as PEFT has them, to fp32's rounding."""
        loss, expected = run(model)
        self.assertEqual(sightline.apply_lora(model), count)
        names = list(model.state_dict())
        found_loss, found = run(model, call)
        self.assertAlmostEqual(found_loss, loss, 5)
        self.assertEqual(found.keys(), expected.keys())
        for name in expected:
            self.assertEqual(found[name].dtype, expected[name].dtype)
            close(name, found[name], expected[name], 1e-5)
        self.assertEqual(list(model.state_dict()), names)
        self.assertEqual(sightline.apply_lora(model), count)  # once more changes nothing

    def test_fp32(self):
        model = adapted()
        self.agrees(model)
        self.assertEqual(calls(model), LINEARS)
        self.agrees(adapted(use_rslora=True, init_lora_weights="pissa"))
        self.agrees(adapted(targets=["q_proj", "lm_head"], modules_to_save=["embed_tokens"]),
                    count=3)

    def test_bf16(self):
        # As far from fp64 as PEFT's own bf16 is, and an operator's tolerance: without autocast PEFT
        # multiplies by fp32 adapters in fp32, the operators in the dtype of x.
        for dtype, autocast in ((torch.bfloat16, False), (torch.bfloat16, True),
                                (torch.float32, True)):
            model = adapted(dtype)
            self.assertEqual({p.dtype for p in model.parameters() if p.requires_grad},
                             {torch.float32})
            _, exact = run(copy.deepcopy(model).double())
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                _, theirs = run(model)
                sightline.apply_lora(model)
                _, ours = run(model)
            for name in exact:
                self.assertLessEqual(error(ours[name], exact[name]),
                                     error(theirs[name], exact[name]) + 8e-3, name)

    def test_training_beside_torch(self):
        losses = []
        for apply, kind in ((lambda _: 0, torch.optim.AdamW),
                            (sightline.apply_lora, sightline.AdamW)):
            model = adapted(dropout=0.0)
            apply(model)
            optimizer = kind([p for p in model.parameters() if p.requires_grad], lr=1e-2)
            losses.append([])
            for _ in range(10):
                losses[-1].append(run(model)[0])
                optimizer.step()
        self.assertLess(losses[0][-1], losses[0][0] - 0.5)
        for plain, ours in zip(*losses):
            self.assertAlmostEqual(plain, ours, 3)

    def test_checkpointing(self):
        for reentrant in (False, True):
            model = adapted(dropout=0.3)
            sightline.apply_lora(model)
            model.train()
            loss, expected = run(model)
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
            found_loss, found = run(model)
            self.assertEqual(found_loss, loss)
            self.assertTrue(all(torch.equal(found[name], expected[name]) for name in expected))

    def test_dropout(self):
        model = adapted(dropout=0.5)
        sightline.apply_lora(model)
        self.assertEqual(calls(model), LINEARS)
        model.train()
        self.assertFalse(torch.equal(logits(model), logits(model)))
        model.eval()
        self.assertTrue(torch.equal(logits(model), logits(model)))

    def test_compile(self):
        model = adapted()
        self.agrees(model, torch.compile(model, fullgraph=True))
        torch.compiler.reset()
        model = adapted(dropout=0.2)
        sightline.apply_lora(model)
        model.train()
        compiled = torch.compile(model, fullgraph=True)
        first = run(model, compiled)[0]
        self.assertEqual(run(model, compiled)[0], first)
        self.assertNotEqual(compiled(input_ids=IDS, labels=IDS).loss.item(), first)

    def test_checkpoints_both_ways(self):
        ours = adapted()
        sightline.apply_lora(ours)
        with tempfile.TemporaryDirectory() as folder:
            ours.save_pretrained(folder)
            theirs = peft.PeftModel.from_pretrained(llama(), folder)
            close("PEFT reads ours", logits(theirs), logits(ours), 1e-5)
            other = adapted()
            sightline.apply_lora(other)
            other.load_adapter(folder, "loaded")
            other.set_adapter("loaded")
            self.assertTrue(torch.equal(logits(other), logits(ours)))
            self.assertEqual(calls(other), LINEARS)

    def test_several_adapters(self):
        model = adapted()
        model.add_adapter("two", peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"]))
        self.agrees(model)
        both = logits(model)
        model.set_adapter("two")
        self.assertEqual(calls(model), 4)
        model.base_model.set_adapter(["default", "two"])
        self.assertEqual(calls(model), LINEARS - 4)  # two at once are PEFT's
        model.set_adapter("default")
        with model.disable_adapter():
            self.assertEqual(calls(model), 0)
            self.assertTrue(torch.equal(logits(model), logits(llama())))
        model.merge_adapter()
        self.assertEqual(calls(model), 0)
        close("merged", logits(model), both, 1e-5)
        model.unmerge_adapter()
        model.delete_adapter("two")
        self.assertEqual(calls(model), LINEARS)
        model.eval()
        with torch.no_grad():
            mixed = model(input_ids=IDS, adapter_names=["default", "__base__"]).logits
        close("adapter_names", mixed[0], both[0], 1e-5)
        close("adapter_names", mixed[1], logits(llama())[1], 1e-5)
        close("unloaded", logits(model.merge_and_unload()), both, 1e-5)

    def test_what_stays_peft_s(self):
        for options in ({"use_dora": True}, {"lora_bias": True}):
            model = adapted(**options)
            self.agrees(model)
            self.assertEqual(calls(model), 0)
        # DoRA is told by use_dora in PEFT before 0.16, by lora_variant since.
        for name in ("use_dora", "lora_variant"):
            model = adapted(use_dora=True)
            sightline.apply_lora(model)
            for layer in model.modules():
                if hasattr(layer, name):
                    setattr(layer, name, {})
            self.assertEqual(calls(model), 0)

    def test_other_bases(self):
        class Doubled(torch.nn.Linear):  # as quantised ones: not x W^T
            def forward(self, x):
                return 2 * super().forward(x)

        model = adapted(dropout=0.0)
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        layer.base_layer.__class__ = Doubled
        self.agrees(model)
        self.assertEqual(calls(model), LINEARS)

    def test_hooks_and_wrappers_are_called(self):
        model = adapted()
        sightline.apply_lora(model)
        layer, seen = model.base_model.model.model.layers[0].self_attn.q_proj, []
        for module in (layer.base_layer, layer.lora_A["default"], layer.lora_B["default"]):
            hook = module.register_forward_hook(lambda *_: seen.append("hook"))
            logits(model)
            hook.remove()
            forward = module.forward
            module.forward = lambda x: (seen.append("forward"), forward(x))[1]
            logits(model)
            del module.forward
        self.assertEqual(seen, ["hook", "forward"] * 3)
        self.assertEqual(calls(model), LINEARS)

    def test_copies(self):
        model = adapted()
        sightline.apply_lora(model)
        expected = logits(model)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
                  torch.load(file, weights_only=False)]
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        for other in copies:
            self.assertTrue(torch.equal(logits(other), expected))
            self.assertEqual(calls(other), LINEARS)

    def test_no_peft_model(self):
        refused("no LoRA linear layer", lambda: sightline.apply_lora(llama()))


if __name__ == "__main__":
    main()
