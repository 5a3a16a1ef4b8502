package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrowsExactly;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.Oracle.assertClose;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.DoubleList;
import org.bytedeco.pytorch.GenericList;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.LongList;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.OptionalType;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorList;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.Type;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.binding.SightlineConfig;

/**
 * {@code torch.ops.sightline.*}, called through libtorch's dispatcher as Python calls them: proves
 * their registration, and compares them to compositions of libtorch's own operators in fp64.
 */
class TorchOperatorsTest {
  private static final ScalarType FLOAT = ScalarType.Float;

  private PointerScope scope;

  @BeforeAll
  static void register() throws Exception {
    Sightline.load();
    String resource = Loader.getPlatform() + "/" + System.mapLibraryName("sightline_torch");
    System.load(Loader.cacheResource(SightlineConfig.class, resource).getAbsolutePath());
  }

  @BeforeEach
  void open() {
    scope = new PointerScope();
  }

  @AfterEach
  void close() {
    scope.close();
  }

  // ---- the dispatcher, in Java's terms ----

  /** Results of an operator; arguments are tensors, numbers, booleans, null and lists of these. */
  private static List<IValue> call(String operator, Object... arguments) {
    IValueVector stack = new IValueVector();
    for (Object argument : arguments) {
      stack.push_back(value(argument));
    }
    try (NoGradGuard noGrad = new NoGradGuard()) {
      Dispatcher.singleton().findSchemaOrThrow("sightline::" + operator, "").callBoxed(stack);
    }
    return LongStream.range(0, stack.size()).mapToObj(stack::get).map(IValue::new).toList();
  }

  private static IValue value(Object argument) {
    if (argument == null) {
      return new IValue();
    } else if (argument instanceof Tensor tensor) {
      return new IValue(tensor);
    } else if (argument instanceof Long || argument instanceof Integer) {
      return new IValue(((Number) argument).longValue());
    } else if (argument instanceof Double number) {
      return new IValue(number.doubleValue());
    } else if (argument instanceof Boolean flag) {
      return new IValue(flag.booleanValue());
    }
    List<?> items = (List<?>) argument;
    GenericList list = new GenericList(elementType(items));
    items.forEach(item -> list.push_back(value(item)));
    return new IValue(list);
  }

  private static Type.TypePtr elementType(List<?> items) {
    if (items.stream().anyMatch(item -> item == null)) { // Tensor?[]
      return OptionalType.ofTensor();
    } else if (items.isEmpty() || items.get(0) instanceof Tensor) {
      return new TensorList().elementType();
    }
    return items.get(0) instanceof Double
        ? new DoubleList().elementType()
        : new LongList().elementType();
  }

  private static List<Tensor> tensors(IValue list) {
    TensorVector vector = list.toTensorVector();
    return LongStream.range(0, vector.size()).mapToObj(vector::get).map(Tensor::new).toList();
  }

  /**
   * JavaCPP makes a plain RuntimeException of whatever C++ throws, with the text of {@code what()};
   * Java's own classes, which do not come this way, raise IllegalArgumentException: BadInputTest.
   */
  private static String refusal(String operator, Object... arguments) {
    RuntimeException e =
        assertThrowsExactly(RuntimeException.class, () -> call(operator, arguments));
    return e.getMessage();
  }

  // ---- alignment ----

  private static Map<String, Tensor> projector(Random random, long d, long p, long z) {
    Map<String, Tensor> parameters = new LinkedHashMap<>();
    parameters.put("net.0.weight", Oracle.normal(random, FLOAT, 0.2, d).add(new Scalar(1)));
    parameters.put("net.0.bias", Oracle.normal(random, FLOAT, 0.2, d));
    parameters.put("net.1.weight", Oracle.normal(random, FLOAT, 1 / Math.sqrt(d), p, d));
    parameters.put("net.1.bias", Oracle.normal(random, FLOAT, 0.2, p));
    parameters.put("net.4.weight", Oracle.normal(random, FLOAT, 1 / Math.sqrt(p), p, p));
    parameters.put("net.4.bias", Oracle.normal(random, FLOAT, 0.2, p));
    parameters.put("net.7.weight", Oracle.normal(random, FLOAT, 1 / Math.sqrt(p), z, p));
    parameters.put("net.7.bias", Oracle.normal(random, FLOAT, 0.2, z));
    return parameters;
  }

  private static List<Tensor> inOrder(Map<String, Tensor> parameters) {
    return AlignmentKernel.PARAMETERS.stream().map(parameters::get).toList();
  }

  @ParameterizedTest
  @CsvSource({"false,Float,false", "true,Float,false", "true,Float,true", "true,BFloat16,true"})
  void alignmentLossIsThatOfLibtorch(boolean weighted, ScalarType dtype, boolean strided) {
    Random random = new Random(7);
    Map<String, Tensor> parameters = projector(random, 65, 31, 13);
    boolean bfloat16 = dtype == ScalarType.BFloat16;
    Tensor all = Oracle.activations(random, dtype, 3, 11, 65);
    Tensor hidden = all.narrow(1, 2, 7);
    // Not contiguous in the last dimension: the operator makes a copy.
    hidden = strided ? hidden.transpose(1, 2).contiguous().transpose(1, 2) : hidden;
    Tensor teacher = Oracle.normal(random, dtype, 1, 3, 7, 13);
    Tensor mask = weighted ? torch.rand(3, 7) : null;

    long handle =
        call("alignment_create", inOrder(parameters), bfloat16, false, 1e-5, 0.0).get(0).toInt();
    List<IValue> result = call("alignment_loss", handle, hidden, teacher, mask, true);
    List<IValue> lossAlone = call("alignment_loss", handle, hidden, teacher, mask, false);
    call("alignment_destroy", handle);

    Tensor wide = Oracle.wide(hidden).set_requires_grad(true);
    List<Tensor> expected =
        Oracle.alignment(
            Oracle.wide(parameters),
            wide,
            0,
            Oracle.wide(teacher),
            mask == null ? null : Oracle.wide(mask));
    expected.get(0).backward();
    double tolerance = Oracle.tolerance(bfloat16);
    assertLoss(expected, mask, result.get(0).toTensor(), tolerance);
    assertClose(expected.get(1), result.get(1).toTensor(), tolerance, "cosine");
    assertClose(wide.grad(), result.get(2).toTensor(), tolerance, "gradient");
    assertEquals(dtype.value, result.get(2).toTensor().scalar_type().value);
    assertEquals(
        result.get(0).toTensor().item_float(), lossAlone.get(0).toTensor().item_float(), 0);
    assertEquals(0, lossAlone.get(2).toTensor().numel());
    assertTrue(refusal("alignment_loss", handle, hidden, teacher, mask, true).contains("live"));
  }

  @Test
  void aTrainableProjectorIsReadAtEachCall() {
    Random random = new Random(8);
    long d = 17;
    Map<String, Tensor> first = projector(random, d, 31, 13);
    Map<String, Tensor> second = projector(random, d, 31, 13);
    Tensor hidden = Oracle.activations(random, FLOAT, 2, 5, d);
    Tensor teacher = Oracle.normal(random, FLOAT, 1, 2, 5, 13);
    long handle = call("alignment_create", inOrder(first), false, true, 1e-5, 0.0).get(0).toInt();
    for (Map<String, Tensor> parameters : List.of(first, second)) {
      List<IValue> result =
          call(
              "alignment_loss_trainable",
              handle,
              hidden,
              teacher,
              null,
              inOrder(parameters),
              true,
              5L);
      Map<String, Tensor> wide = Oracle.wide(parameters);
      wide.values().forEach(parameter -> parameter.set_requires_grad(true));
      Tensor wideHidden = Oracle.wide(hidden).set_requires_grad(true);
      List<Tensor> expected = Oracle.alignment(wide, wideHidden, 0, Oracle.wide(teacher), null);
      expected.get(0).backward();
      assertLoss(expected, null, result.get(0).toTensor(), 1e-5);
      assertClose(wideHidden.grad(), result.get(2).toTensor(), 1e-5, "gradient");
      List<Tensor> gradients = tensors(result.get(3));
      for (int i = 0; i < 8; i++) {
        String name = AlignmentKernel.PARAMETERS.get(i);
        assertClose(wide.get(name).grad(), gradients.get(i), 1e-5, name);
      }
    }
    call("alignment_destroy", handle);
  }

  /** The loss is a mean: cosines off by e in norm move it by at most e |m| / sum m. */
  private static void assertLoss(
      List<Tensor> expected, Tensor mask, Tensor actual, double tolerance) {
    Tensor cosine = expected.get(1).detach();
    Tensor m = mask == null ? torch.ones_like(cosine) : mask;
    double slack =
        tolerance
            * cosine.norm().item_double()
            * m.to(ScalarType.Double).norm().item_double()
            / m.sum().item_double();
    assertEquals(expected.get(0).item_double(), actual.item_double(), slack, "loss");
  }

  // ---- LoRA ----

  @ParameterizedTest
  @ValueSource(strings = {"Float", "BFloat16"})
  void loraLinearIsThatOfLibtorch(ScalarType dtype) {
    Random random = new Random(9);
    Tensor x = Oracle.activations(random, dtype, 2, 5, 31);
    Tensor weight = Oracle.normal(random, dtype, 0.2, 13, 31);
    Tensor bias = Oracle.normal(random, dtype, 1, 13);
    Tensor a = Oracle.normal(random, FLOAT, 0.2, 4, 31);
    Tensor b = Oracle.normal(random, FLOAT, 0.5, 13, 4);
    // Expanded: the gradient of a sum has strides of 0.
    Tensor dy = Oracle.normal(random, dtype, 1, 13, 1, 1).permute(1, 2, 0).expand(2, 5, 13);
    double tolerance = Oracle.tolerance(dtype == ScalarType.BFloat16);

    List<Tensor> wide =
        Stream.of(x, a, b).map(t -> Oracle.wide(t).set_requires_grad(true)).toList();
    Tensor expected =
        Oracle.lora(
            wide.get(0), Oracle.wide(weight), Oracle.wide(bias), wide.get(1), wide.get(2), 1.5);
    expected.backward(
        Oracle.wide(dy), new org.bytedeco.pytorch.BoolOptional(), false, tensorList());

    List<IValue> forward = call("lora_linear", x, weight, bias, a, b, 1.5, 0.0, 0L);
    assertClose(expected, forward.get(0).toTensor(), tolerance, "y");
    Tensor s = forward.get(1).toTensor();
    List<IValue> backward =
        call("lora_linear_backward", dy, x, weight, a, b, s, 1.5, 0.0, 0L, true, true);
    for (int i = 0; i < 3; i++) {
      assertClose(
          wide.get(i).grad(),
          backward.get(i).toTensor(),
          tolerance,
          List.of("dx", "da", "db").get(i));
    }
    List<IValue> noInput =
        call("lora_linear_backward", dy, x, weight, a, b, s, 1.5, 0.0, 0L, false, true);
    assertEquals(0, noInput.get(0).toTensor().numel());
    List<IValue> noAdapter =
        call("lora_linear_backward", dy, x, weight, a, b, s, 1.5, 0.0, 0L, true, false);
    assertEquals(0, noAdapter.get(1).toTensor().numel());
    assertClose(wide.get(0).grad(), noAdapter.get(0).toTensor(), tolerance, "dx alone");

    // The adapter alone, on a base product of libtorch's.
    Tensor base = torch.linear(x, weight).add(bias);
    Tensor before = base.clone();
    Tensor sum = call("lora_delta", base, x, a, b, 1.5, 0.0, 0L).get(0).toTensor();
    assertTrue(torch.equal(before, base), "lora_delta wrote its input");
    assertClose(expected, sum, 2 * tolerance, "y of lora_delta");
    call("lora_delta_", base, x, a, b, 1.5, 0.0, 0L);
    assertTrue(torch.equal(sum, base), "lora_delta_ and lora_delta differ");
  }

  private static org.bytedeco.pytorch.TensorArrayRefOptional tensorList() {
    return new org.bytedeco.pytorch.TensorArrayRefOptional();
  }

  @Test
  void linearsThatShareTheirInputEqualSingleOnes() {
    Random random = new Random(10);
    Tensor x = Oracle.activations(random, FLOAT, 7, 31);
    List<Tensor> weights =
        Stream.of(13, 8, 20).map(n -> Oracle.normal(random, FLOAT, 0.2, n, 31)).toList();
    List<Tensor> biases = java.util.Arrays.asList(null, Oracle.normal(random, FLOAT, 1, 8), null);
    List<Tensor> as = Stream.of(4, 2, 3).map(r -> Oracle.normal(random, FLOAT, 1, r, 31)).toList();
    List<Tensor> bs =
        List.of(
            Oracle.normal(random, FLOAT, 1, 13, 4),
            Oracle.normal(random, FLOAT, 1, 8, 2),
            Oracle.normal(random, FLOAT, 1, 20, 3));
    List<Tensor> dys =
        Stream.of(13, 8, 20).map(n -> Oracle.normal(random, FLOAT, 1, 7, n)).toList();
    List<Double> scales = List.of(0.5, 2.0, 1.0);
    List<Long> seeds = List.of(1L, 2L, 3L);

    List<IValue> forward = call("lora_linears", x, weights, biases, as, bs, scales, 0.25, seeds);
    List<Tensor> y = tensors(forward.get(0));
    List<Tensor> s = tensors(forward.get(1));
    List<IValue> backward =
        call("lora_linears_backward", dys, x, weights, as, bs, s, scales, 0.25, seeds, true, true);
    Tensor dx = torch.zeros_like(x);
    for (int i = 0; i < 3; i++) {
      Tensor w = weights.get(i);
      Tensor a = as.get(i);
      Tensor b = bs.get(i);
      List<IValue> one =
          call("lora_linear", x, w, biases.get(i), a, b, scales.get(i), 0.25, seeds.get(i));
      assertClose(one.get(0).toTensor(), y.get(i), 1e-5, "y");
      List<IValue> gradients =
          call(
              "lora_linear_backward",
              dys.get(i),
              x,
              w,
              a,
              b,
              one.get(1).toTensor(),
              scales.get(i),
              0.25,
              seeds.get(i),
              true,
              true);
      dx = dx.add(gradients.get(0).toTensor());
      assertClose(gradients.get(1).toTensor(), tensors(backward.get(1)).get(i), 1e-5, "da");
      assertClose(gradients.get(2).toTensor(), tensors(backward.get(2)).get(i), 1e-5, "db");
    }
    assertClose(dx, backward.get(0).toTensor(), 1e-5, "dx");
  }

  @Test
  void mergedWeightsMultiplyAsTheAdapterDid() {
    Random random = new Random(11);
    Tensor weight = Oracle.normal(random, FLOAT, 1, 13, 31);
    Tensor a = Oracle.normal(random, FLOAT, 1, 4, 31);
    Tensor b = Oracle.normal(random, FLOAT, 1, 13, 4);
    Tensor before = weight.clone();
    call("lora_merge_", weight, a, b, 0.5, false, 0L);
    assertClose(
        Oracle.wide(before).add(torch.mm(Oracle.wide(b), Oracle.wide(a)).mul(new Scalar(0.5))),
        weight,
        1e-5,
        "merged weight");
    call("lora_unmerge_", weight, a, b, 0.5, false, 0L);
    assertClose(before, weight, 1e-6, "unmerged weight");
  }

  // ---- AdamW ----

  @Test
  void adamWIsThatOfLibtorch() {
    Random random = new Random(12);
    List<Tensor> ours =
        List.of(
            Oracle.normal(random, FLOAT, 1, 31, 7),
            Oracle.normal(random, FLOAT, 1, 13),
            Oracle.normal(random, FLOAT, 1, 5));
    List<Tensor> m = ours.stream().map(torch::zeros_like).toList();
    List<Tensor> v = ours.stream().map(torch::zeros_like).toList();
    TensorVector theirs =
        new TensorVector(
            ours.stream().map(t -> t.clone().set_requires_grad(true)).toArray(Tensor[]::new));
    AdamWOptions options = new AdamWOptions(1e-2);
    options.weight_decay().put(0.1);
    org.bytedeco.pytorch.AdamW reference = new org.bytedeco.pytorch.AdamW(theirs, options);
    List<Tensor> noMasters = java.util.Arrays.asList(null, null, null);
    long handle =
        call("adamw_create", ours, m, v, noMasters, noMasters, List.of(0L, 0L, 0L)).get(0).toInt();
    for (int step = 0; step < 4; step++) {
      // The last parameter never has a gradient, the second not in the first step.
      int first = step == 0 ? 1 : 2;
      List<Tensor> gradients =
          Stream.iterate(0, i -> i + 1)
              .limit(first)
              .map(i -> torch.randn_like(ours.get(i)))
              .toList();
      for (int i = 0; i < first; i++) {
        theirs.get(i).mutable_grad().put(gradients.get(i).clone());
      }
      torch.clip_grad_norm_(theirs, 2.0);
      reference.step();
      Tensor report =
          call(
                  "adamw_step_",
                  handle,
                  ours,
                  gradients,
                  LongStream.range(0, first).boxed().toList(),
                  List.of(1e-2),
                  List.of(0.9),
                  List.of(0.999),
                  List.of(1e-8),
                  List.of(0.1),
                  1.0,
                  2.0,
                  false,
                  true)
              .get(0)
              .toTensor();
      assertTrue(report.select(0, 0).item_float() > 2, "norm before clipping");
      for (int i = 0; i < 3; i++) {
        assertClose(theirs.get(i), ours.get(i), 1e-5, "parameter " + i + " in step " + step);
      }
      gradients.forEach(g -> assertEquals(0, g.abs().max().item_float(), "zeroed gradient"));
    }
    assertEquals(
        List.of(4L, 3L, 0L),
        LongStream.of(call("adamw_get_steps", handle).get(0).toIntVector().get()).boxed().toList());
    call("adamw_set_steps", handle, List.of(9L, 8L, 7L));
    assertEquals(8, call("adamw_get_steps", handle).get(0).toIntVector().get(1));
    call("adamw_destroy", handle);
    assertTrue(refusal("adamw_get_steps", handle).contains("expected a live handle"));
  }

  @Test
  void adamWKeepsARemainder() {
    Tensor param = torch.ones(31).to(ScalarType.BFloat16);
    Tensor remainder = torch.zeros(31).to(ScalarType.Short);
    long handle =
        call(
                "adamw_create",
                List.of(param),
                List.of(torch.zeros(31)),
                List.of(torch.zeros(31)),
                java.util.Arrays.asList((Tensor) null),
                List.of(remainder),
                List.of(0L))
            .get(0)
            .toInt();
    call(
        "adamw_step_",
        handle,
        List.of(param),
        List.of(torch.ones(31)),
        List.of(0L),
        List.of(1e-3),
        List.of(0.9),
        List.of(0.999),
        List.of(1e-8),
        List.of(0.0),
        1.0,
        0.0,
        false,
        true);
    // 1 - 0.001 = 0x3f7fbe77: 0x3f80 and -0x4189.
    assertEquals(1, param.to(FLOAT).mean().item_float());
    assertEquals(-0x4189, remainder.to(FLOAT).mean().item_float(), 1);
    call("adamw_destroy", handle);
  }

  // ---- bad input: the library's own words, and the process lives on ----

  @Test
  void badInputIsRefusedInTheLibrarysWords() {
    Random random = new Random(13);
    Tensor x = torch.randn(5, 31);
    Tensor weight = torch.randn(13, 31);
    Tensor a = torch.randn(4, 31);
    Tensor b = torch.randn(13, 4);
    Map<String, String> messages = new LinkedHashMap<>();
    messages.put(
        refusal("lora_linear", x, weight, null, torch.randn(4, 30), b, 1.0, 0.0, 0L),
        "linears[0].a");
    messages.put(
        refusal("lora_linear", x, weight, null, a, torch.randn(13), 1.0, 0.0, 0L),
        "b: 1 dimensions");
    messages.put(
        refusal("lora_linear", x.to(ScalarType.Double), weight, null, a, b, 1.0, 0.0, 0L),
        "x: dtype");
    messages.put(
        refusal("lora_linear", x.to(ScalarType.Long), weight, null, a, b, 1.0, 0.0, 0L),
        "x: dtype");
    messages.put(
        refusal("lora_linear", x, weight.t().contiguous().t(), null, a, b, 1.0, 0.0, 0L),
        "linears[0].weight");
    messages.put(refusal("lora_linear", x, weight, null, a, b, 1.0, 1.5, 0L), "dropout");
    messages.put(
        refusal(
            "lora_linears",
            x,
            List.of(weight),
            List.of(a, b),
            List.of(a),
            List.of(b),
            List.of(1.0),
            0.0,
            List.of(0L)),
        "bias: 2 items, expected 1");
    messages.put(
        refusal("alignment_create", List.of(a, b), false, false, 1e-5, 0.0),
        "parameters: 2 tensors, expected 8");
    messages.put(refusal("alignment_loss", 12345L, x, x, null, true), "hidden: 2 dimensions");
    Tensor h = torch.randn(1, 2, 3);
    messages.put(refusal("alignment_loss", 12345L, h, h, null, true), "live handle");
    messages.put(refusal("alignment_loss", 0L, h, h, null, true), "alignment");
    messages.put(refusal("lora_merge_", weight, a, torch.randn(12, 4), 1.0, false, 0L), "b");
    Map<String, Tensor> parameters = projector(random, 3, 4, 5);
    messages.put(
        refusal("alignment_create", inOrder(parameters), false, false, -1.0, 0.0), "ln_eps");
    messages.put(
        refusal(
            "adamw_create",
            List.of(x),
            List.of(a),
            List.of(x),
            List.of(x),
            List.of(x),
            List.of(0L)),
        "exp_avg");
    messages.put(
        refusal(
            "adamw_create", List.of(x), List.of(), List.of(x), List.of(x), List.of(x), List.of(0L)),
        "exp_avg: 0 items, expected 1");
    messages.forEach(
        (message, part) ->
            assertTrue(message.contains(part), () -> "\"" + message + "\" lacks \"" + part + "\""));
  }

  @Test
  void movedParametersAreRefused() {
    Tensor param = torch.randn(3);
    List<Tensor> none = java.util.Arrays.asList((Tensor) null);
    long handle =
        call(
                "adamw_create",
                List.of(param),
                List.of(torch.zeros(3)),
                List.of(torch.zeros(3)),
                none,
                none,
                List.of(0L))
            .get(0)
            .toInt();
    String message =
        refusal(
            "adamw_step_",
            handle,
            List.of(param.clone()),
            List.of(torch.randn(3)),
            List.of(0L),
            List.of(1e-2),
            List.of(0.9),
            List.of(0.999),
            List.of(1e-8),
            List.of(0.1),
            1.0,
            0.0,
            false,
            true);
    assertTrue(message.contains("params[0]: memory other than at adamw_create"), message);
    call("adamw_destroy", handle);
  }

  // ---- ownership: what crosses the stable ABI is freed by whom it should be ----

  @Test
  void argumentsAreReleasedAfterSuccessAndRefusal() {
    Tensor x = torch.randn(5, 31);
    Tensor turned = torch.randn(31, 5).t();
    Tensor weight = torch.randn(13, 31);
    Tensor bias = torch.randn(13);
    Tensor a = torch.randn(4, 31);
    Tensor b = torch.randn(13, 4);
    List<Tensor> inputs = List.of(x, turned, weight, bias, a, b);
    List<Long> before = inputs.stream().map(Tensor::use_count).toList();
    try (PointerScope calls = new PointerScope()) {
      call("lora_linear", x, weight, bias, a, b, 1.0, 0.0, 0L);
      call("lora_linear", turned, weight, bias, a, b, 1.0, 0.0, 0L);
      refusal("lora_linear", x, weight, bias, a, b, 1.0, 2.0, 0L);
      call(
          "lora_linears",
          x,
          List.of(weight, weight),
          java.util.Arrays.asList(bias, null),
          List.of(a, a),
          List.of(b, b),
          List.of(1.0, 2.0),
          0.0,
          List.of(0L, 0L));
      refusal(
          "lora_linears",
          x,
          List.of(weight, weight),
          java.util.Arrays.asList(bias, null),
          List.of(a),
          List.of(b, b),
          List.of(1.0, 2.0),
          0.0,
          List.of(0L, 0L));
      refusal("alignment_create", List.of(a, b), false, false, 1e-5, 0.0);
      List<Tensor> none = java.util.Arrays.asList((Tensor) null);
      long handle =
          call(
                  "adamw_create",
                  List.of(a),
                  List.of(torch.zeros_like(a)),
                  List.of(torch.zeros_like(a)),
                  none,
                  none,
                  List.of(0L))
              .get(0)
              .toInt();
      call("adamw_destroy", handle);
    }
    assertEquals(before, inputs.stream().map(Tensor::use_count).toList());
  }

  @Test
  void resultsAreReleasedWithTheirLastReference() {
    Tensor x = torch.randn(1024, 64);
    Tensor weight = torch.randn(1024, 64);
    Tensor a = torch.randn(4, 64);
    Tensor b = torch.randn(1024, 4);
    long before = 0;
    for (int i = 0; i < 220; i++) {
      if (i == 20) {
        before = org.bytedeco.javacpp.Pointer.physicalBytes();
      }
      try (PointerScope calls = new PointerScope()) {
        call("lora_linear", x, weight, null, a, b, 1.0, 0.0, 0L);
        tensors(
            call(
                    "lora_linears",
                    x,
                    List.of(weight),
                    java.util.Arrays.asList((Tensor) null),
                    List.of(a),
                    List.of(b),
                    List.of(1.0),
                    0.0,
                    List.of(0L))
                .get(0));
      }
    }
    long growth = org.bytedeco.javacpp.Pointer.physicalBytes() - before;
    // 200 steps make 1600 MiB of results.
    assertTrue(growth < 200L << 20, () -> "memory grew by " + (growth >> 20) + " MiB");
  }
}
