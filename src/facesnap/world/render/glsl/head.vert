in vec3 in_position;
in vec3 in_normal;
in vec4 in_rest;     // rest position in the model's own coordinates, ambient occlusion
in float in_scalp;   // cm above the hairline
in vec2 in_atlas;    // place in the baked skin
out vec3 v_world;
out vec3 v_normal;
out vec4 v_rest;
out float v_scalp;
out vec2 v_atlas;
out vec3 v_local;
void main() {
    float body = body_weight(in_rest.xyz);
    v_world = posed(in_position, body);
    v_normal = posed_direction(in_normal, body);
    v_rest = in_rest;
    v_scalp = in_scalp;
    v_atlas = in_atlas;
    v_local = in_position;
    gl_Position = clip(v_world);
}
