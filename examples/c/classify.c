/* classify IMAGE.ppm: the five best classes of a model with one f32 input 1x3xHxW and one output 1xCLASSES. */
#include <stdio.h>
#include <stdlib.h>
#include MODEL_HEADER

/* Read a binary PPM of any size into a CHW image of height x width (nearest pixel). */
static int read_ppm(const char *path, float *image, int64_t height, int64_t width) {
  static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
  FILE *file = fopen(path, "rb");
  int w, h, most;
  if (file == NULL) return 0;
  if (fscanf(file, "P6 %d %d %d", &w, &h, &most) != 3 || w < 1 || h < 1 || most != 255) return fclose(file), 0;
  fgetc(file); /* the one white space before the pixels */
  unsigned char *pixels = malloc((size_t)w * (size_t)h * 3);
  size_t rows = pixels != NULL ? fread(pixels, (size_t)w * 3, (size_t)h, file) : 0;
  fclose(file);
  if (rows == (size_t)h)
    for (int c = 0; c < 3; c++)
      for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
          unsigned char value = pixels[((y * h / height) * w + x * w / width) * 3 + c];
          image[(c * height + y) * width + x] = ((float)value / 255.0f - mean[c]) / deviation[c];
        }
  free(pixels);
  return rows == (size_t)h;
}

int main(int count, char **arguments) {
  const int64_t *shape = ansorc_input_shape(0);
  if (count != 2 || ansorc_num_inputs() != 1 || ansorc_input_rank(0) != 4 || shape[1] != 3) {
    fprintf(stderr, "usage: %s IMAGE.ppm, with a model of one input 1x3xHxW\n", arguments[0]);
    return 2;
  }
  const int64_t *out = ansorc_output_shape(0);
  int64_t classes = out[ansorc_output_rank(0) - 1];
  float *image = malloc((size_t)(3 * shape[2] * shape[3]) * sizeof(float));
  float *score = malloc((size_t)classes * sizeof(float));
  ansorc_model *model;
  if (image == NULL || score == NULL || ansorc_create(&model) != ANSORC_OK) {
    fprintf(stderr, "%s\n", ansorc_error(NULL));
    return 1;
  }
  int status = 1;
  if (!read_ppm(arguments[1], image, shape[2], shape[3])) {
    fprintf(stderr, "cannot read %s: expected a binary PPM (P6, 8 bits a channel)\n", arguments[1]);
  } else if (MODEL_RUN(model, image, score) != ANSORC_OK) {
    fprintf(stderr, "%s\n", ansorc_error(model));
  } else {
    for (int place = 0; place < 5 && place < classes; place++) {
      int64_t best = 0;
      for (int64_t k = 1; k < classes; k++) best = score[k] > score[best] ? k : best;
      printf("%d. class %lld, score %g\n", place + 1, (long long)best, score[best]);
      score[best] = -1e30f;
    }
    status = 0;
  }
  ansorc_destroy(model);
  free(image), free(score);
  return status;
}
