package org.sightline.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.formats.FormatException;

/** Models in shards: the layout of Hugging Face's writer, and every defect of an index by name. */
class ShardedSafetensorsTest {
  @TempDir Path folder;

  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  @BeforeEach
  void tensors() {
    tensors.put("c", torch.randn(2, 3).to(ScalarType.BFloat16)); // 12 bytes
    tensors.put("a", torch.randn(4)); // 16
    tensors.put("b", torch.randn(2, 2)); // 16
    tensors.put("d", torch.randn(20)); // 80
  }

  private List<Path> write(long maxShardBytes) throws IOException {
    List<TensorInfo> infos = new ArrayList<>();
    tensors.forEach(
        (name, tensor) ->
            infos.add(
                new TensorInfo(
                    name,
                    ElementType.of(tensor),
                    Stream.of(0, 1).filter(d -> d < tensor.dim()).map(d -> tensor.size(d)).toList(),
                    0,
                    0)));
    return ShardedSafetensorsWriter.write(folder, infos, tensors::get, maxShardBytes);
  }

  @Test
  void oneShardHasNoIndex() throws IOException {
    assertEquals(List.of(folder.resolve("model.safetensors")), write(124));
    try (ShardedSafetensors read = ShardedSafetensors.open(folder)) {
      requireSame(read);
    }
  }

  @Test
  void shardsAreFilledInOrderAndIndexed() throws IOException {
    List<Path> files = write(44);
    assertEquals(
        List.of(
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json"),
        files.stream().map(file -> file.getFileName().toString()).sorted().toList());
    JsonObject index =
        JsonParser.parseString(Files.readString(folder.resolve("model.safetensors.index.json")))
            .getAsJsonObject();
    assertEquals(124, index.getAsJsonObject("metadata").get("total_size").getAsLong());
    assertEquals(
        List.of("a", "b", "c", "d"), List.copyOf(index.getAsJsonObject("weight_map").keySet()));
    try (ShardedSafetensors read = ShardedSafetensors.open(folder)) {
      requireSame(read);
      assertEquals(Map.of("format", "pt"), read.shards().get(0).metadata());
    }
    // The index itself, and the shards as a list, are the same model.
    try (ShardedSafetensors read = ShardedSafetensors.open(files.get(2));
        ShardedSafetensors list = ShardedSafetensors.open(files.subList(0, 2))) {
      requireSame(read);
      requireSame(list);
    }
  }

  /** Hugging Face's rule: a tensor too large for a shard is alone, without closing the open one. */
  @ParameterizedTest
  @CsvSource({
    "1000, c a b d",
    "124, c a b d",
    "123, c a b|d",
    "80, c a b|d",
    "44, d|c a b",
    "43, c a|d|b",
    "28, c a|d|b",
    "27, c|a|d|b",
    "15, a|b|d|c",
    "1, c|a|b|d"
  })
  void split(long maxShardBytes, String expected) {
    List<TensorInfo> infos = List.of(info("c", 12), info("a", 16), info("b", 16), info("d", 80));
    List<String> found =
        ShardedSafetensorsWriter.split(infos, maxShardBytes).stream()
            .map(shard -> String.join(" ", shard.stream().map(TensorInfo::name).toList()))
            .toList();
    assertEquals(List.of(expected.split("\\|")), found);
  }

  private static TensorInfo info(String name, long bytes) {
    return new TensorInfo(name, ElementType.U8, List.of(bytes), 0, 0);
  }

  @Test
  void everyDefectIsInOneError() throws IOException {
    write(44);
    Path index = folder.resolve("model.safetensors.index.json");
    Path first = folder.resolve("model-00001-of-00002.safetensors");
    Path second = folder.resolve("model-00002-of-00002.safetensors");
    String in = first.getFileName().toString();
    String out = second.getFileName().toString();
    Files.writeString(
        index,
        """
        {"weight_map": {"d": "%s", "a": "%s", "b": "%s", "e": "%s", "f": "lost.safetensors",
         "g": "lost.safetensors"}}"""
            .formatted(in, in, out, out));
    String message = refused(folder);
    for (String line :
        List.of(
            folder.resolve("lost.safetensors") + ": no such file; the index puts 2 tensors there",
            "a: found in " + out + ", expected in " + in + " as the index says",
            "e: found in no shard, expected in " + out + " as the index says",
            "c: found in " + out + ", but not in the index")) {
      assertTrue(message.contains(line), line + " in " + message);
    }
    assertTrue(message.contains("4 defects"), message);
  }

  @Test
  void shardsCutShortAreNamedTogether() throws IOException {
    write(44);
    for (int shard = 1; shard <= 2; shard++) {
      Path file = folder.resolve("model-0000" + shard + "-of-00002.safetensors");
      byte[] bytes = Files.readAllBytes(file);
      Files.write(file, java.util.Arrays.copyOf(bytes, bytes.length - shard));
    }
    String message = refused(folder);
    assertTrue(
        message.contains("model-00001-of-00002.safetensors: data: found 79 bytes after the header")
            && message.contains("expected 80 bytes")
            && message.contains("model-00002-of-00002.safetensors: data: found 42 bytes"),
        message);
  }

  /** Counted once, not once a file: this would take minutes. */
  @Test
  @Timeout(30)
  void lostShardsByTheHundredThousandAreNamedAtOnce() throws IOException {
    String index =
        IntStream.range(0, 200_000)
            .mapToObj(i -> "\"t%d\": \"s%d.safetensors\"".formatted(i, i))
            .collect(Collectors.joining(", ", "{\"weight_map\": {", "}}"));
    Files.writeString(folder.resolve("model.safetensors.index.json"), index);
    String message =
        assertThrows(FormatException.class, () -> ShardedSafetensors.open(folder)).getMessage();
    assertTrue(message.contains("s199999.safetensors: no such file; the index puts 1 tensors"));
  }

  @Test
  void aTensorInTwoFilesIsRefused() throws IOException {
    Path a = folder.resolve("a.safetensors");
    Path b = folder.resolve("b.safetensors");
    Safetensors.write(a, Map.of("x", tensors.get("a")), Map.of());
    Safetensors.write(b, Map.of("x", tensors.get("a")), Map.of());
    var e = assertThrows(FormatException.class, () -> ShardedSafetensors.open(List.of(a, b)));
    assertTrue(
        e.getMessage().contains("x: found in " + a + " and " + b + ", expected in one"),
        e.getMessage());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{}                             | weight_map: found no such key, expected an object",
        "{\"weight_map\": {}}           | weight_map: found {}, expected an object",
        "{\"weight_map\": {\"x\": 3}}   | weight_map: x: found 3, expected the name of a",
        "{\"weight_map\": {\"x\": \"../m.safetensors\"}} | weight_map: x: found \"../m.safetensors\"",
        "{\"weight_map\": {\"x\": \"m.bin\"}} | weight_map: x: found \"m.bin\", expected",
        "{\"weight_map\": [             | line 1, column 17: found unexpected end-of-input, expected close marker for Array",
      })
  void malformedIndexIsRefused(String json, String expected) throws IOException {
    Files.writeString(folder.resolve("model.safetensors.index.json"), json);
    assertTrue(refused(folder).contains(expected), refused(folder));
  }

  @Test
  void aFileThatWasAskedForIsNamedOnce() throws IOException {
    Path file = Files.writeString(folder.resolve("a.safetensors"), "no tensors");
    assertTrue(refused(file).startsWith(file + ": header length: found "), refused(file));
  }

  @Test
  void aFolderWithoutAModelSaysWhatItHas() throws IOException {
    String neither =
        "found neither model.safetensors nor model.safetensors.index.json, expected one";
    assertEquals(folder + ": " + neither, refused(folder));
    Files.writeString(folder.resolve("pytorch_model.bin"), "");
    assertEquals(
        folder + ": " + neither + " (pickled pytorch_model.bin files are not read)",
        refused(folder));
    write(1000);
    Files.writeString(folder.resolve("model.safetensors.index.json"), "{}");
    assertTrue(refused(folder).contains("found both model.safetensors and"), refused(folder));
  }

  @Test
  void aSourceMustKeepItsWord() {
    TensorInfo announced = new TensorInfo("x", ElementType.F32, List.of(3L), 0, 0);
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                ShardedSafetensorsWriter.write(
                    folder, List.of(announced), name -> torch.zeros(4), 1000));
    assertEquals("tensor 'x': found F32 [4], expected F32 [3] as announced", e.getMessage());
    assertEquals(false, Files.exists(folder.resolve("model.safetensors")));
  }

  private String refused(Path path) {
    return assertThrows(IOException.class, () -> ShardedSafetensors.open(path)).getMessage();
  }

  private void requireSame(ShardedSafetensors read) throws IOException {
    assertEquals(tensors.keySet(), java.util.Set.copyOf(read.names()));
    assertEquals(124, read.sizeInBytes());
    for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
      try (Tensor tensor = read.tensor(entry.getKey())) {
        assertTrue(tensor.equal(entry.getValue()), entry.getKey());
        assertEquals(ElementType.of(entry.getValue()), read.info(entry.getKey()).type());
      }
    }
  }
}
