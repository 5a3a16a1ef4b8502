package org.sightline.vla.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.vla.Fixtures;

class HuggingFacePromptTokenizerTest {
  @TempDir Path folder;

  private static String embeddedJson() throws IOException {
    try (var in = HuggingFacePromptTokenizer.class.getResourceAsStream("nano-tokenizer.json")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  @Test
  void committedFileIsWhatTheTrainerMakes() throws IOException {
    assertEquals(NanoTokenizerTrainer.json(), embeddedJson());
  }

  @Test
  void staysClearOfTheActionIds() throws IOException {
    try (PromptTokenizer t = HuggingFacePromptTokenizer.embedded()) {
      assertTrue(t.vocabularySize() <= new ActionTokenizer(1024).firstId());
      assertEquals(1, t.bosId());
      assertEquals(2, t.eosId());
      assertEquals(3, t.padId());
      assertEquals(OptionalLong.of(260), t.wordStartId());
    }
  }

  @Test
  void telemetryIsOff() throws IOException {
    HuggingFacePromptTokenizer.embedded().close();
    assertEquals("true", System.getProperty("ai.djl.offline"));
    assertEquals("true", System.getProperty("OPT_OUT_TRACKING"));
  }

  /** Pieces found by applying the merges by hand; the ids are those of the committed file. */
  @Test
  void goldenPrompt() throws IOException {
    String json = embeddedJson();
    String[] pieces = {
      "<s>", "▁In", ":", "▁What", "▁action", "▁should", "▁the", "▁robot", "▁take", "▁to", "▁put",
      "▁carrot", "▁on", "▁plate", "?", "<0x0A>", "Out", ":", "▁"
    };
    var vocabulary =
        JsonParser.parseString(json)
            .getAsJsonObject()
            .getAsJsonObject("model")
            .getAsJsonObject("vocab");
    long[] expected =
        Arrays.stream(pieces).mapToLong(piece -> vocabulary.get(piece).getAsLong()).toArray();
    try (PromptTokenizer t = HuggingFacePromptTokenizer.embedded()) {
      assertArrayEquals(expected, Prompt.ids(t, "Put Carrot on plate"));
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "put carrot on plate",
        "pick up the black bowl between the plate and the ramekin",
        "xylophone 42% (à côté) 漢字 🙂",
        "two  spaces\tand\na tab",
        ""
      })
  void anyTextRoundTrips(String instruction) throws IOException {
    try (PromptTokenizer t = HuggingFacePromptTokenizer.embedded()) {
      long[] ids = t.encode(Prompt.text(instruction));
      assertEquals(t.bosId(), ids[0]);
      for (long id : ids) {
        assertTrue(id > 0 && id < 768, "id " + id);
      }
      assertEquals(Prompt.text(instruction), t.decode(ids));
    }
  }

  /** What tokenizers and transformers make of texts of all kinds: tokenizer_fixtures.py. */
  @Test
  void idsAndTextsAreThoseOfThePythonLibraries() throws IOException {
    var fixture = Files.readString(Fixtures.root().resolve("tokenizer.json"));
    var cases = JsonParser.parseString(fixture).getAsJsonObject().getAsJsonArray("cases");
    assertTrue(cases.size() > 30);
    try (PromptTokenizer t = HuggingFacePromptTokenizer.embedded()) {
      for (var element : cases) {
        var expected = element.getAsJsonObject();
        String text = expected.get("text").getAsString();
        long[] ids =
            expected.getAsJsonArray("ids").asList().stream()
                .mapToLong(id -> id.getAsLong())
                .toArray();
        assertArrayEquals(ids, t.encode(text), text);
        assertEquals(expected.get("decoded").getAsString(), t.decode(ids), text);
      }
    }
  }

  /** A file that was saved after calls with them keeps both; transformers resets them each time. */
  @Test
  void truncationAndPaddingOfTheFileDoNotCount() throws IOException {
    String cut = "{'direction': 'Right', 'max_length': 8, 'strategy': 'LongestFirst', 'stride': 0}";
    String pad =
        "{'strategy': {'Fixed': 64}, 'direction': '%s', 'pad_to_multiple_of': null, 'pad_id': 0,"
            + " 'pad_type_id': 0, 'pad_token': '<unk>'}";
    String instruction = "put the carrot on the plate and then close the drawer";
    try (PromptTokenizer embedded = HuggingFacePromptTokenizer.embedded()) {
      for (String[] settings :
          new String[][] {
            {cut, "null"}, {"null", pad.formatted("Left")}, {cut, pad.formatted("Right")}
          }) {
        var root = JsonParser.parseString(embeddedJson()).getAsJsonObject();
        root.add("truncation", JsonParser.parseString(settings[0].replace('\'', '"')));
        root.add("padding", JsonParser.parseString(settings[1].replace('\'', '"')));
        Path file = Files.writeString(folder.resolve("tokenizer.json"), root.toString());
        try (PromptTokenizer opened = HuggingFacePromptTokenizer.open(file)) {
          assertArrayEquals(
              Prompt.ids(embedded, instruction), Prompt.ids(opened, instruction), settings[0]);
        }
      }
    }
  }

  @Test
  void wordStartIsAppendedOnlyWhenMissing() throws IOException {
    assertEquals("In: What action should the robot take to öffne x?\nOut:", Prompt.text("ÖFFNE X"));
    long[] plain = {1, 5, 6};
    assertArrayEquals(new long[] {1, 5, 6, 29871}, Prompt.ids(fixed(29871, plain), "x"));
    long[] ending = {1, 5, 29871};
    assertArrayEquals(ending, Prompt.ids(fixed(29871, ending), "x"));
    assertArrayEquals(plain, Prompt.ids(fixed(-1, plain), "x"));
  }

  private static PromptTokenizer fixed(long wordStart, long[] ids) {
    return new PromptTokenizer() {
      @Override
      public long[] encode(String text) {
        return ids;
      }

      @Override
      public String decode(long[] tokens) {
        return "";
      }

      @Override
      public long vocabularySize() {
        return 32001;
      }

      @Override
      public long bosId() {
        return 1;
      }

      @Override
      public long eosId() {
        return 2;
      }

      @Override
      public long padId() {
        return 32000;
      }

      @Override
      public OptionalLong wordStartId() {
        return wordStart < 0 ? OptionalLong.empty() : OptionalLong.of(wordStart);
      }

      @Override
      public void close() {}
    };
  }

  /** A file without post-processor and pad token, such as some exports of Llama 2. */
  @Test
  void addsBosAndPadWhereTheFileHasNone() throws IOException {
    var root = JsonParser.parseString(embeddedJson()).getAsJsonObject();
    root.add("post_processor", com.google.gson.JsonNull.INSTANCE);
    root.getAsJsonArray("added_tokens").remove(3);
    var vocabulary = root.getAsJsonObject("model").getAsJsonObject("vocab");
    vocabulary.remove("<pad>");
    vocabulary.addProperty("<spare>", 3);
    Path file = folder.resolve("tokenizer.json");
    Files.writeString(file, root.toString());
    try (PromptTokenizer embedded = HuggingFacePromptTokenizer.embedded();
        PromptTokenizer opened = HuggingFacePromptTokenizer.open(folder)) {
      assertEquals(embedded.vocabularySize(), opened.padId(), "the first id behind the vocabulary");
      assertArrayEquals(embedded.encode("put it"), opened.encode("put it"));
    }
  }

  @Test
  void useAfterCloseIsExplained() throws IOException {
    PromptTokenizer t = HuggingFacePromptTokenizer.embedded();
    t.close();
    t.close();
    assertEquals(
        "tokenizer embedded nano-tokenizer.json is closed",
        assertThrows(IllegalStateException.class, () -> t.encode("x")).getMessage());
  }

  @Test
  void missingAndMalformedFilesAreExplained() throws IOException {
    Path file = folder.resolve("tokenizer.json");
    assertMessage(file + ": no such file, expected a Hugging Face tokenizer.json");
    Files.writeString(folder.resolve("tokenizer.model"), "x");
    assertMessage("(a SentencePiece tokenizer.model alone is not enough)");
    Files.writeString(file, "[1,2]");
    assertMessage(file + ": document: found [1,2], expected a JSON object");
    Files.writeString(file, "{\"model\":{\"vocab\":{\"a\":0}}}");
    assertMessage(file + ": no token '<s>', expected it as BOS of a Llama tokenizer");
    Files.writeString(file, "{\"model\":{\"vocab\":{\"<s>\":1,\"</s>\":2}}}");
    assertMessage(file + ": rejected by the tokenizers library: ");
  }

  /** Opens the embedded tokenizer; run in a JVM of its own, since a library loads only once. */
  static final class Probe {
    public static void main(String[] arguments) {
      try {
        HuggingFacePromptTokenizer.embedded().close();
        System.out.println("loaded");
      } catch (IOException e) {
        System.out.println(e.getMessage());
      }
    }
  }

  @Test
  void aLibraryThatCannotBeUnpackedIsExplained() throws Exception {
    Path file = Files.writeString(folder.resolve("file"), "no folder can be below a file");
    assertEquals("loaded", probe("-DDJL_CACHE_DIR=" + folder.resolve("cache")));
    String message = probe("-DDJL_CACHE_DIR=" + file.resolve("cache"));
    assertTrue(
        message.startsWith(
            "the native library of ai.djl.huggingface:tokenizers could not be loaded on "),
        message);
    assertTrue(message.contains(file.toString()), message);
    assertTrue(message.contains("DJL_CACHE_DIR"), message);
  }

  @Test
  void withoutAFolderOfThisUserItSaysWhereItLooked() throws Exception {
    Path open = folder.resolve("sightline-" + System.getProperty("user.name"));
    Files.setPosixFilePermissions(
        Files.createDirectory(open), PosixFilePermissions.fromString("rwxr-xr-x"));
    String message = probe("-Duser.home=/dev/null", "-Djava.io.tmpdir=" + folder);
    assertTrue(message.contains(open + ": is open to others (rwxr-xr-x)"), message);
    assertTrue(message.contains("/dev/null"), message);
  }

  private static String probe(String... options) throws Exception {
    List<String> command = new ArrayList<>(List.of(options));
    command.add(0, Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), Probe.class.getName()));
    Process process =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    process.waitFor();
    return output.strip();
  }

  private void assertMessage(String part) {
    IOException e =
        assertThrows(IOException.class, () -> HuggingFacePromptTokenizer.open(folder), part);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }
}
