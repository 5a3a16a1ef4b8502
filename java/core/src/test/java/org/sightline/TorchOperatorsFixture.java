package org.sightline;

import static org.junit.jupiter.api.Assertions.assertThrowsExactly;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.Loader;
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
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.sightline.binding.SightlineConfig;

/**
 * {@code torch.ops.sightline.*}, called through libtorch's dispatcher as Python calls them: proves
 * their registration.
 */
abstract class TorchOperatorsFixture extends ScopedTest {
  static final ScalarType FLOAT = ScalarType.Float;

  TorchOperatorsFixture() {
    super(16);
  }

  @BeforeAll
  static void register() throws Exception {
    String resource = Loader.getPlatform() + "/" + System.mapLibraryName("sightline_torch");
    System.load(Loader.cacheResource(SightlineConfig.class, resource).getAbsolutePath());
  }

  /** Results of an operator; arguments are tensors, numbers, booleans, null and lists of these. */
  /** The arguments, and those that describe the loss, the cosine. */
  static Object[] cosine(Object... arguments) {
    Object[] loss = {0, 0, 0, 0, 1.0, 1.0, 0.0};
    Object[] all = Arrays.copyOf(arguments, arguments.length + loss.length);
    System.arraycopy(loss, 0, all, arguments.length, loss.length);
    return all;
  }

  static List<IValue> call(String operator, Object... arguments) {
    IValueVector stack = new IValueVector();
    for (Object argument : arguments) {
      stack.push_back(value(argument));
    }
    try (NoGradGuard noGrad = new NoGradGuard()) {
      Dispatcher.singleton().findSchemaOrThrow("sightline::" + operator, "").callBoxed(stack);
    }
    return LongStream.range(0, stack.size()).mapToObj(stack::get).map(IValue::new).toList();
  }

  static IValue value(Object argument) {
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

  static Type.TypePtr elementType(List<?> items) {
    if (items.stream().anyMatch(item -> item == null)) { // Tensor?[]
      return OptionalType.ofTensor();
    } else if (items.isEmpty() || items.get(0) instanceof Tensor) {
      return new TensorList().elementType();
    }
    return items.get(0) instanceof Double
        ? new DoubleList().elementType()
        : new LongList().elementType();
  }

  static List<Tensor> tensors(IValue list) {
    TensorVector vector = list.toTensorVector();
    return LongStream.range(0, vector.size()).mapToObj(vector::get).map(Tensor::new).toList();
  }

  /**
   * JavaCPP makes a plain RuntimeException of whatever C++ throws, with the text of {@code what()};
   * Java's own classes, which do not come this way, raise IllegalArgumentException: BadInputTest.
   */
  static String refusal(String operator, Object... arguments) {
    RuntimeException e =
        assertThrowsExactly(RuntimeException.class, () -> call(operator, arguments));
    return e.getMessage();
  }

  static Map<String, Tensor> projector(Random random, long d, long p, long z) {
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

  static List<Tensor> inOrder(Map<String, Tensor> parameters) {
    return NativeAlignment.PARAMETERS.stream().map(parameters::get).toList();
  }
}
