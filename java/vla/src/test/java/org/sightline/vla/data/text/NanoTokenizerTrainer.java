package org.sightline.vla.data.text;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Makes the tokenizer.json of the nano preset from a list of instructions: byte-pair merges in the
 * form of Llama 2's file. Run {@code main} with the resource's path to write it anew; a test
 * compares the committed file with {@link #json}.
 */
final class NanoTokenizerTrainer {
  static final int LIMIT = 768;
  private static final String WORD_START = "\u2581";

  private NanoTokenizerTrainer() {}

  public static void main(String[] arguments) throws IOException {
    Files.writeString(Path.of(arguments[0]), json());
  }

  static String json() throws IOException {
    Map<String, Integer> words = words();
    Map<String, Integer> vocabulary = new LinkedHashMap<>();
    for (String special : List.of("<unk>", "<s>", "</s>", "<pad>")) {
      vocabulary.put(special, vocabulary.size());
    }
    for (int b = 0; b < 256; b++) {
      vocabulary.put(String.format("<0x%02X>", b), vocabulary.size());
    }
    vocabulary.put(WORD_START, vocabulary.size());
    for (char c = '!'; c <= '~'; c++) {
      vocabulary.put(String.valueOf(c), vocabulary.size());
    }
    List<String> merges = train(words, vocabulary);
    return render(vocabulary, merges);
  }

  /** Word-start marked words and punctuation with their counts; merges never leave a word. */
  private static Map<String, Integer> words() throws IOException {
    String corpus;
    try (var in = NanoTokenizerTrainer.class.getResourceAsStream("nano-tokenizer-corpus.txt")) {
      corpus = new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
    Map<String, Integer> words = new TreeMap<>();
    for (String line : corpus.split("\n")) {
      String prompt = Prompt.text(line).replace('\n', ' ').replace("? Out", "?Out");
      Matcher word = Pattern.compile(" ?[A-Za-z]+|[^A-Za-z ]").matcher(" " + prompt);
      while (word.find()) {
        words.merge(word.group().replace(" ", WORD_START), 1, Integer::sum);
      }
    }
    return words;
  }

  private static List<String> train(Map<String, Integer> words, Map<String, Integer> vocabulary) {
    Map<String, List<String>> parts = new TreeMap<>();
    words.keySet().forEach(w -> parts.put(w, new ArrayList<>(Arrays.asList(w.split("")))));
    List<String> merges = new ArrayList<>();
    while (vocabulary.size() < LIMIT) {
      Map<String, Integer> pairs = new HashMap<>();
      parts.forEach(
          (word, pieces) -> {
            for (int i = 0; i + 1 < pieces.size(); i++) {
              pairs.merge(pieces.get(i) + " " + pieces.get(i + 1), words.get(word), Integer::sum);
            }
          });
      // The most frequent pair, the first in code point order among equals.
      String best =
          pairs.entrySet().stream()
              .min(
                  Map.Entry.<String, Integer>comparingByValue()
                      .reversed()
                      .thenComparing(Map.Entry.comparingByKey()))
              .map(Map.Entry::getKey)
              .orElse(null);
      if (best == null) {
        break;
      }
      String[] pair = best.split(" ");
      merges.add(best);
      vocabulary.putIfAbsent(pair[0] + pair[1], vocabulary.size());
      parts.values().forEach(pieces -> merge(pieces, pair));
    }
    return merges;
  }

  private static void merge(List<String> pieces, String[] pair) {
    for (int i = 0; i + 1 < pieces.size(); i++) {
      if (pieces.get(i).equals(pair[0]) && pieces.get(i + 1).equals(pair[1])) {
        pieces.set(i, pair[0] + pair[1]);
        pieces.remove(i + 1);
      }
    }
  }

  private static String render(Map<String, Integer> vocabulary, List<String> merges) {
    JsonArray added = new JsonArray();
    for (String special : List.of("<unk>", "<s>", "</s>", "<pad>")) {
      JsonObject token = new JsonObject();
      token.addProperty("id", vocabulary.get(special));
      token.addProperty("content", special);
      for (String flag : List.of("single_word", "lstrip", "rstrip", "normalized")) {
        token.addProperty(flag, false);
      }
      token.addProperty("special", true);
      added.add(token);
    }
    JsonObject model = object("type", "BPE");
    model.add("dropout", JsonNull.INSTANCE);
    model.addProperty("unk_token", "<unk>");
    model.addProperty("fuse_unk", true);
    model.addProperty("byte_fallback", true);
    JsonObject ids = new JsonObject();
    vocabulary.forEach(ids::addProperty);
    model.add("vocab", ids);
    JsonArray mergeList = new JsonArray();
    merges.forEach(mergeList::add);
    model.add("merges", mergeList);

    JsonObject root = object("version", "1.0");
    root.add("truncation", JsonNull.INSTANCE);
    root.add("padding", JsonNull.INSTANCE);
    root.add("added_tokens", added);
    JsonObject prepend = object("type", "Prepend");
    prepend.addProperty("prepend", WORD_START);
    root.add("normalizer", sequence("normalizers", prepend, replace(" ", WORD_START)));
    root.add("pre_tokenizer", JsonNull.INSTANCE);
    root.add("post_processor", postProcessor());
    JsonObject strip = object("type", "Strip");
    strip.addProperty("content", " ");
    strip.addProperty("start", 1);
    strip.addProperty("stop", 0);
    root.add(
        "decoder",
        sequence(
            "decoders",
            replace(WORD_START, " "),
            object("type", "ByteFallback"),
            object("type", "Fuse"),
            strip));
    root.add("model", model);
    return new GsonBuilder()
            .setPrettyPrinting()
            .disableHtmlEscaping()
            .serializeNulls()
            .create()
            .toJson(root)
        + "\n";
  }

  private static JsonObject postProcessor() {
    JsonObject bosReference = object("id", "<s>");
    bosReference.addProperty("type_id", 0);
    JsonObject textReference = object("id", "A");
    textReference.addProperty("type_id", 0);
    JsonArray single = new JsonArray();
    single.add(wrap("SpecialToken", bosReference));
    single.add(wrap("Sequence", textReference));
    JsonArray pair = single.deepCopy();
    JsonObject second = object("id", "B");
    second.addProperty("type_id", 1);
    pair.add(wrap("Sequence", second));
    JsonObject bos = object("id", "<s>");
    JsonArray bosIds = new JsonArray();
    bosIds.add(1);
    JsonArray bosTokens = new JsonArray();
    bosTokens.add("<s>");
    bos.add("ids", bosIds);
    bos.add("tokens", bosTokens);
    JsonObject processor = object("type", "TemplateProcessing");
    processor.add("single", single);
    processor.add("pair", pair);
    processor.add("special_tokens", wrap("<s>", bos));
    return processor;
  }

  private static JsonObject replace(String pattern, String content) {
    JsonObject replace = object("type", "Replace");
    replace.add("pattern", object("String", pattern));
    replace.addProperty("content", content);
    return replace;
  }

  private static JsonObject sequence(String key, JsonObject... members) {
    JsonObject sequence = object("type", "Sequence");
    JsonArray array = new JsonArray();
    Arrays.asList(members).forEach(array::add);
    sequence.add(key, array);
    return sequence;
  }

  private static JsonObject object(String key, String value) {
    JsonObject object = new JsonObject();
    object.addProperty(key, value);
    return object;
  }

  private static JsonObject wrap(String key, JsonObject value) {
    JsonObject object = new JsonObject();
    object.add(key, value);
    return object;
  }
}
